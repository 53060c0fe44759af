/*
 * Starts, and that is all: it listens on no port and never ends by itself. As when main() waits for a lock that nobody
 * gives back. Who waits until it is ready waits for ever.
 */
#include <unistd.h>

int main(void)
{
    for (;;)
        pause(); /* SIGTERM has not been given a handler: it ends the program */
}
