#include "nonblocking.h"

#include <fcntl.h>

//! [nonblocking]
int nonblocking_set(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}
//! [nonblocking]
