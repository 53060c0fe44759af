/*
 * What a worker does with a task: judge it, compute, put the result or the error into it, and post it.
 */
#ifndef WORK_H
#define WORK_H

/*
 * `task` is a struct task, which belongs to the calling worker until it is posted with completions_post(). That happens
 * exactly once, whatever became of the task: somebody waits for it.
 * Reads nothing but the task's text: the same text always gets the same answer, whoever computes it and when.
 * Who: the workers, several of them at the same time.
 */
void work_run(void *task);

#endif
