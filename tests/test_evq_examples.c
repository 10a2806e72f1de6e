/*
 * test_evq_examples: the seven examples of chapter 07, on every backend that they have and that
 * works here. EVQ_BACKEND=name tests that one only. Words behind the program's name choose
 * examples.
 *
 * All of them run over the best backend, and echo over each other one; EVQ_EXAMPLES=all runs all of
 * them over all. Over iocp, by Wine, the contract of echo is all that is run.
 *
 * No test knows its backend. The tests stand in tests/evq_examples/, one file for each example;
 * echo and multicore also keep the whole contract. STEPS_BUILD says which build: "build", or a
 * variant. Run it from the root of the repository.
 */
#include "evq_examples/example_case.h"

#include <stdlib.h>

enum { BACKENDS = 8, NAME = 16 };

static bool everything;

/* What the examples say themselves: "this program has: epoll io_uring poll". */
static int ask_for_backends(char names[BACKENDS][NAME])
{
    static const char words[] = "this program has:";
    char path[EXAMPLE_PATH];
    const char *argv[] = {example_path("echo", path, sizeof path), "-h", NULL};
    struct server_end end = {0};
    int count = 0, taken = 0;
    (void)unsetenv("EVQ_BACKEND");
    if (server_run_to_end(&server, &(struct server_spec){.argv = argv, .bare = true}, &end) == 0) {
        const char *at = strstr(server.out, words);
        at = at != NULL ? at + strlen(words) : "";
        for (; count < BACKENDS && sscanf(at, "%*[ ]%15[a-z_]%n", names[count], &taken) == 1;
             count++)
            at += taken;
    }
    server_kill(&server);
    memset(&server, 0, sizeof server);
    return count;
}

static void the_examples_name_their_backends(void **state)
{
    assert_true(*(int *)*state > 0);
}

static void the_backend_works_here(void **state)
{
    (void)state;
    skip_because("%s is in this build, but this system does not have it or forbids it", backend);
}

/* A program that has the backend, and cannot use it, says so and ends. */
static bool works_here(void)
{
    char path[EXAMPLE_PATH], why[256];
    const char *argv[] = {example_path("echo", path, sizeof path), NULL};
    bool works = server_start(&server, &(struct server_spec){.argv = argv}, why, sizeof why) == 0;
    server_kill(&server);
    memset(&server, 0, sizeof server);
    return works ||
           strstr(why, "no queue") == NULL; /* any other reason is a failure of the tests */
}

static const struct {
    const char *name;
    int (*run)(void);
} examples[] = {{"echo", run_echo},          {"lines", run_lines}, {"proxy", run_proxy},
                {"fetch", run_fetch},        {"http", run_http},   {"chat", run_chat},
                {"multicore", run_multicore}};

/* Without names: all over the best backend, echo (and so the whole contract) over the others. */
static bool is_chosen(const char *name, char **names)
{
    if (*names == NULL)
        return everything || backend_is_best || strcmp(name, "echo") == 0;
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static int run_backend(char **names)
{
    const struct CMUnitTest skipped[] = {cmocka_unit_test(the_backend_works_here)};
    int failed = 0;
    if (!works_here())
        return RUN("nothing", skipped);
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++)
        if (is_chosen(examples[i].name, names))
            failed += examples[i].run();
    return failed;
}

/* The backend of Windows is in another program than all others. */
static int run_iocp(char **names)
{
    backend = "iocp";
    backend_is_best = false;
    (void)setenv("EVQ_BACKEND", backend, 1);
    return is_chosen("echo", names) ? example_run_contract_by_wine("echo") : 0;
}

int main(int argc, char **argv)
{
    char names[BACKENDS][NAME];
    const char *chosen = getenv("EVQ_BACKEND");
    char only[NAME] = "";
    everything = getenv("EVQ_EXAMPLES") != NULL || (chosen != NULL && *chosen != '\0');
    if (chosen != NULL)
        (void)snprintf(only, sizeof only, "%s", chosen);
    int count = ask_for_backends(names);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(the_examples_name_their_backends, &count)};
    int failed = cmocka_run_group_tests_name("examples of evq", tests, NULL, NULL);
    for (int i = 0; i < count; i++) {
        backend = names[i];
        backend_is_best = i == 0;
        (void)setenv("EVQ_BACKEND", backend, 1);
        if (only[0] == '\0' || strcmp(only, backend) == 0)
            failed += run_backend(argv + (argc > 0));
    }
    if (only[0] == '\0' || strcmp(only, "iocp") == 0)
        failed += run_iocp(argv + (argc > 0));
    return failed;
}
