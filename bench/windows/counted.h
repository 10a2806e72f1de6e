/*
 * counted: how many functions of Windows does a server call for one round trip?
 *
 * Wine is not Windows: how long something takes there, and how often its kernel is entered, says
 * nothing about Windows. What the server's source calls is the same on both. So the steps of
 * chapter 06 are compiled a second time, unchanged, with this header before their first line (gcc's
 * -include). It makes a macro of each function of Winsock and of the completion ports that a
 * server calls while it works, and the macro counts before it calls. Within its own expansion a
 * macro's name is only a name (C11, 6.10.3.4), so that is the function.
 *
 * Not counted: what only reads a variable of the thread (WSAGetLastError), what is called once,
 * and AcceptEx, which is called through a pointer, once for each client.
 */
#ifndef BENCH_COUNTED_H
#define BENCH_COUNTED_H

#include <winsock2.h>
#include <ws2tcpip.h>
#include <mswsock.h>
#include <windows.h>

/** One call more. Any thread. */
void counted_call(void);

#define accept(...)                      (counted_call(), accept(__VA_ARGS__))
#define recv(...)                        (counted_call(), recv(__VA_ARGS__))
#define send(...)                        (counted_call(), send(__VA_ARGS__))
#define shutdown(...)                    (counted_call(), shutdown(__VA_ARGS__))
#define closesocket(...)                 (counted_call(), closesocket(__VA_ARGS__))
#define setsockopt(...)                  (counted_call(), setsockopt(__VA_ARGS__))
#define WSARecv(...)                     (counted_call(), WSARecv(__VA_ARGS__))
#define WSASend(...)                     (counted_call(), WSASend(__VA_ARGS__))
#define WSAGetOverlappedResult(...)      (counted_call(), WSAGetOverlappedResult(__VA_ARGS__))
#define WSAWaitForMultipleEvents(...)    (counted_call(), WSAWaitForMultipleEvents(__VA_ARGS__))
#define WSAEventSelect(...)              (counted_call(), WSAEventSelect(__VA_ARGS__))
#define WSAResetEvent(...)               (counted_call(), WSAResetEvent(__VA_ARGS__))
#define WSASetEvent(...)                 (counted_call(), WSASetEvent(__VA_ARGS__))
#define SetEvent(...)                    (counted_call(), SetEvent(__VA_ARGS__))
#define WaitForSingleObject(...)         (counted_call(), WaitForSingleObject(__VA_ARGS__))
#define CreateIoCompletionPort(...)      (counted_call(), CreateIoCompletionPort(__VA_ARGS__))
#define PostQueuedCompletionStatus(...)  (counted_call(), PostQueuedCompletionStatus(__VA_ARGS__))
#define GetQueuedCompletionStatus(...)   (counted_call(), GetQueuedCompletionStatus(__VA_ARGS__))
#define GetQueuedCompletionStatusEx(...) (counted_call(), GetQueuedCompletionStatusEx(__VA_ARGS__))
#define CancelIoEx(...)                  (counted_call(), CancelIoEx(__VA_ARGS__))

#endif
