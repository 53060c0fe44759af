/* The library has a queue of its own, so there is nothing left to write here. */
#include "task_queue.h"
