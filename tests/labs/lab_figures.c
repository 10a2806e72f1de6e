/*
 * lab_figures: reads what a lab has said.
 */
#include "lab_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char *find_figure(const char *text, const char *name)
{
    char key[TEXT_LEN];
    (void)snprintf(key, sizeof key, "\n  %s .", name);
    const char *found = strstr(text, key);
    return found != NULL ? found + strlen(key) + strspn(found + strlen(key), ". ") : NULL;
}

double figure(const char *text, const char *name)
{
    const char *value = find_figure(text, name);
    if (value == NULL)
        fail_msg("no figure %s in:\n%s", name, text);
    return value != NULL ? strtod(value, NULL) : -1;
}

void word_is(const char *text, const char *name, const char *word)
{
    const char *value = find_figure(text, name);
    if (value == NULL || strncmp(value, word, strlen(word)) != 0 || value[strlen(word)] != '\n')
        fail_msg("%s should be \"%s\", in:\n%s", name, word, text);
}
