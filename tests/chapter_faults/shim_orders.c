#include "shim_orders.h"

#include <stdio.h>

static struct fault faults[FAULTS_MAX];
static int fault_count;

void orders_read(const char *text)
{
    while (text != NULL && fault_count < FAULTS_MAX) {
        int call, nth, times, manner, err, len = 0;
        if (sscanf(text, "%d:%d:%d:%d:%d%n", &call, &nth, &times, &manner, &err, &len) < 5)
            return;
        faults[fault_count++] = (struct fault){.call = (enum call)call,
                                               .nth = nth,
                                               .times = times,
                                               .manner = (enum manner)manner,
                                               .err = err};
        text += len;
        text += *text == ',';
    }
}

static bool fault_is_meant(const struct fault *fault, enum call call, int nth)
{
    return fault->call == call && nth >= fault->nth && nth - fault->nth < fault->times;
}

struct verdict orders_judge(struct board *board, enum call call)
{
    int nth = atomic_fetch_add(&board->counts[call], 1);
    atomic_fetch_add(&board->all, 1);
    for (int i = 0; i < fault_count; i++) {
        if (fault_is_meant(&faults[i], call, nth)) {
            if (i == 0)
                atomic_fetch_add(&board->hits, 1);
            return (struct verdict){true, faults[i].manner, faults[i].err};
        }
    }
    return (struct verdict){.hit = false};
}
