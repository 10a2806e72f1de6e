/* eventfds, where they are not asked for: macOS and the BSDs. */
#include "growth.h"

#include <errno.h>

int growth_eventfd(void)
{
    errno = ENOSYS;
    return -1;
}
