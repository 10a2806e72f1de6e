/*
 * counted: the count stands in the file that BENCH_CALLS names, which is mapped into memory: eight
 * bytes, the lowest first. So it is there however the program ends. The calls of its start and its
 * end are in it; run.sh compares two runs of different lengths, and so they fall out.
 */
#include "counted.h"

#include <stdlib.h>

static LONG64 nowhere;
static LONG64 *calls = &nowhere;

static BOOL CALLBACK open_once(INIT_ONCE *once, void *arg, void **context)
{
    const char *path = getenv("BENCH_CALLS");
    (void)once, (void)arg, (void)context;
    if (path == NULL)
        return TRUE;
    /* Neither handle is closed: both are wanted until the end. */
    HANDLE file = CreateFileA(path, GENERIC_READ | GENERIC_WRITE, FILE_SHARE_READ, NULL,
                              CREATE_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
    HANDLE mapping = CreateFileMappingA(file, NULL, PAGE_READWRITE, 0, sizeof *calls, NULL);
    void *view = mapping != NULL ? MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0) : NULL;
    if (view != NULL) /* else the file stays empty, and run.sh says that it misses the count */
        calls = view;
    return TRUE;
}

void counted_call(void)
{
    static INIT_ONCE once = INIT_ONCE_STATIC_INIT;
    (void)InitOnceExecuteOnce(&once, open_once, NULL, NULL); /* open_once() never fails */
    (void)InterlockedIncrement64(calls);
}
