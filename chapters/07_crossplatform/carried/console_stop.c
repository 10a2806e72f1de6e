#include "console_stop.h"

#include <stdatomic.h>
#include <winsock2.h>

enum { CLOSE_PATIENCE_MS = 4500 }; /* the system's own is 5,000 ms (HandlerRoutine) */

static console_stop_wake *wake_program; /* written before the handler is installed, */
static void *wake_arg;                  /* then only read                           */

//! [handler]
static BOOL WINAPI on_console_event(DWORD event)
{
    static atomic_flag woken = ATOMIC_FLAG_INIT; /* people press Ctrl-C twice */
    if (!atomic_flag_test_and_set(&woken) && !wake_program(wake_arg))
        return FALSE; /* not handled: the system's own handler ends the process */
    /* CTRL_C_EVENT and CTRL_BREAK_EVENT: handled, and the program goes on to its end. The others
     * end the process as soon as this returns; main() returns before that, if all goes well. */
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT)
        (void)WaitForSingleObject(GetCurrentProcess(), CLOSE_PATIENCE_MS);
    return TRUE;
}
//! [handler]

int console_stop_open(console_stop_wake *wake, void *arg)
{
    wake_program = wake;
    wake_arg = arg;
    return SetConsoleCtrlHandler(on_console_event, TRUE) ? 0 : -1;
}
