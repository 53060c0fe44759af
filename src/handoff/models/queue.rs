//! The wake-ups of the task queue: push and pop, pop and push, close and pop, close and push.

use super::*;

/// One push, one signal, two tasks: who is woken has to wake the next. Otherwise one of these workers, each of whom
/// takes one task and leaves, sleeps for ever.
#[test]
fn push_all_and_pop() {
    explore(2, || {
        let queue = queue(2, 2);
        let workers = vec![worker(&queue, Some(1)), worker(&queue, Some(1))];
        queue.push_all(&mut vec![task(0, 0), task(0, 1)]);
        assert_they_took(workers, &[(0, 0), (0, 1)]);
    });
}

/// A task alone: the second push finds the second worker asleep, or on its way, or not yet here.
#[test]
fn push_and_pop() {
    explore(2, || {
        let queue = queue(2, 2);
        let workers = vec![worker(&queue, Some(1)), worker(&queue, Some(1))];
        assert_eq!(queue.push(task(0, 0)), Ok(()));
        assert_eq!(queue.push(task(0, 1)), Ok(()));
        assert_they_took(workers, &[(0, 0), (0, 1)]);
    });
}

/// One worker, who sleeps, works and sleeps again. A push that comes while it works must not take it for a sleeper, or
/// the wake for the push after it is thought to be under way already.
#[test]
fn push_and_pop_again() {
    explore(2, || {
        let queue = queue(3, 1);
        let workers = vec![worker(&queue, Some(3))];
        for sequence in 0..3 {
            assert_eq!(queue.push(task(0, sequence)), Ok(()));
        }
        assert_they_took(workers, &[(0, 0), (0, 1), (0, 2)]);
    });
}

#[test]
fn try_push_and_pop() {
    explore(2, || {
        let queue = queue(1, 2);
        let workers = vec![worker(&queue, Some(1)), worker(&queue, Some(1))];
        assert_eq!(queue.try_push(task(0, 0)), Ok(()));
        // Full, if no worker was there yet: it says so, and sleeps in `push` until one was.
        match queue.try_push(task(0, 1)) {
            Ok(()) => {}
            Err(Refused::Full(task)) => assert_eq!(queue.push(task), Ok(())),
            Err(Refused::Closed(_)) => panic!("nobody closed it"),
        }
        assert_they_took(workers, &[(0, 0), (0, 1)]);
    });
}

/// Two threads push through a queue for one, and two workers take two tasks and one.
#[test]
fn two_pushers_two_workers() {
    explore(1, || {
        let queue = queue(1, 2);
        let workers = vec![worker(&queue, Some(2)), worker(&queue, Some(1))];
        let other = pusher(&queue, 1);
        for sequence in 0..2 {
            assert_eq!(queue.push(task(0, sequence)), Ok(()));
            assert!(queue.occupancy().waiting <= 1, "more inside than the capacity");
        }
        assert_eq!(other.join().unwrap(), Ok(()));
        assert_they_took(workers, &[(0, 0), (0, 1), (1, 0)]);
    });
}

/// Two pushers sleep on a full queue for two. Two places become free one after the other, and nothing else happens. If
/// the first pusher is still under way at the second pop, it has to wake the other; if it is back, the pop has to.
#[test]
fn pop_and_push() {
    explore(2, || {
        let queue = queue(2, 2);
        queue.push_all(&mut vec![task(0, 0), task(0, 1)]);
        let pushers = [1, 2].map(|producer| pusher(&queue, producer));
        let workers = vec![worker(&queue, Some(1))];
        let seat = queue.employ().unwrap();
        let mine = queue.pop(seat).unwrap().task.ticket;
        assert_eq!(pushers.map(|pusher| pusher.join().unwrap()), [Ok(()), Ok(())]);
        assert_eq!(queue.occupancy().waiting, 2);
        assert_they_took(workers, &[(0, 1 - mine.sequence)]);
    });
}

/// A pusher sleeps on a full queue for one, a worker makes room, and `try_push` is there before the pusher is back. The
/// pusher sleeps on, and the next pop has to wake it once more.
#[test]
fn try_push_and_push() {
    explore(2, || {
        let queue = queue(1, 1);
        queue.push_all(&mut vec![task(0, 0)]);
        let workers = vec![worker(&queue, None)];
        let pusher = pusher(&queue, 1);
        let was_faster = queue.try_push(task(0, 1)).is_ok();
        assert_eq!(pusher.join().unwrap(), Ok(()));
        queue.close();
        match was_faster {
            true => assert_they_took(workers, &[(0, 0), (0, 1), (1, 0)]),
            false => assert_they_took(workers, &[(0, 0), (1, 0)]),
        }
    });
}

/// One pusher, who sleeps, pushes and sleeps again. A pop that comes while it is awake must not take it for a sleeper, or
/// the wake for the pop after it is thought to be under way already.
#[test]
fn pop_and_push_again() {
    explore(2, || {
        let queue = queue(1, 1);
        let workers = vec![worker(&queue, Some(4))];
        for sequence in 0..4 {
            assert_eq!(queue.push(task(0, sequence)), Ok(()));
        }
        assert_they_took(workers, &[(0, 0), (0, 1), (0, 2), (0, 3)]);
    });
}

/// Two workers sleep, or are about to. All of them have to leave, and none before the tasks are taken.
#[test]
fn close_and_pop() {
    explore(2, || {
        let queue = queue(2, 2);
        let workers = vec![worker(&queue, None), worker(&queue, None)];
        queue.push_all(&mut vec![task(0, 0), task(0, 1)]);
        queue.close();
        assert_they_took(workers, &[(0, 0), (0, 1)]);
        let mut late = vec![task(0, 2)];
        queue.push_all(&mut late);
        assert_eq!(queue.try_push(late.remove(0)), Err(Refused::Closed(task(0, 2))));
        assert_eq!(queue.push(task(0, 2)), Err(task(0, 2)));
    });
}

/// Two pushers sleep on a full queue, or are about to. Both get their task back, and what was inside stays.
#[test]
fn close_and_push() {
    explore(2, || {
        let queue = queue(1, 1);
        queue.push_all(&mut vec![task(0, 0)]);
        let pushers = [1, 2].map(|producer| pusher(&queue, producer));
        queue.close();
        assert_eq!(pushers.map(|pusher| pusher.join().unwrap()), [Err(task(1, 0)), Err(task(2, 0))]);
        assert_they_took(vec![worker(&queue, None)], &[(0, 0)]);
    });
}

/// A pusher sleeps, a worker makes room, and the queue is closed, in any order: what was accepted comes out, and what
/// was refused does not.
#[test]
fn close_and_pop_and_push() {
    explore(2, || {
        let queue = queue(1, 2);
        queue.push_all(&mut vec![task(0, 0)]);
        let workers = vec![worker(&queue, None), worker(&queue, None)];
        let pusher = pusher(&queue, 1);
        queue.close();
        match pusher.join().unwrap() {
            Ok(()) => assert_they_took(workers, &[(0, 0), (1, 0)]),
            Err(back) => {
                assert_eq!(back, task(1, 0));
                assert_they_took(workers, &[(0, 0)]);
            }
        }
    });
}
