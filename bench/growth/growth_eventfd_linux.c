/* eventfds, on Linux (man 2 eventfd). */
#include "growth.h"

#include <sys/eventfd.h>

int growth_eventfd(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}
