/*
 * screen: see screen.h.
 *
 * A column is not a byte: "µ" has two bytes in UTF-8 and one column. So all widths are counted in
 * characters. (The texts have no characters of two columns.)
 */
#include "screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CURSOR_HIDE "\033[?25l"
#define CURSOR_SHOW "\033[?25h"
#define LINE_CLEAR  "\r\033[2K"
#define BOLD        "\033[1m"
#define GREEN       "\033[32m"
#define RED         "\033[31m"
#define RESET       "\033[0m"

enum { PARAGRAPH = 1024, SPARE_LINES = 2, LEAST_COLUMNS = 20 };

static struct {
    bool live; /* a terminal that moves its cursor */
    bool colour;
    bool broken;  /* a write has failed               */
    size_t drawn; /* lines of the picture that stands above the cursor */
} screen;

/* ---- columns --------------------------------------------------------------------------------- */

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80; /* the others continue one */
}

static int columns_of(const char *text)
{
    int columns = 0;
    for (; *text != '\0'; text++)
        columns += begins_character(*text);
    return columns;
}

/* How many bytes of the text fit into so many columns. */
static size_t bytes_that_fit(const char *text, int columns)
{
    size_t len = 0;
    for (; text[len] != '\0'; len++)
        if (begins_character(text[len]) && columns-- <= 0)
            break;
    return len;
}

static struct winsize window(void)
{
    struct winsize size = {0};
    if (!screen.live || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        size = (struct winsize){0};
    return size;
}

/* The last column stays free: some terminals wrap as soon as it is written. */
static int width(void)
{
    int columns = window().ws_col;
    if (columns == 0 || columns > SCREEN_COLUMNS)
        return screen.live ? SCREEN_COLUMNS - 1 : SCREEN_COLUMNS;
    return columns > 1 ? columns - 1 : 1;
}

void screen_cell(char *line, size_t len, const char *text, int width_of_cell)
{
    int wanted = abs(width_of_cell), blanks = wanted - columns_of(text);
    size_t used = strlen(line);
    (void)snprintf(line + used, len - used, "%*s%s%*s",
                   width_of_cell < 0 && blanks > 0 ? blanks : 0, "", text,
                   width_of_cell > 0 && blanks > 0 ? blanks : 0, "");
}

/* ---- open and close -------------------------------------------------------------------------- */

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value != NULL && *value != '\0';
}

static bool is_on(const char *variable)
{
    return is_set(variable) && strcmp(getenv(variable), "0") != 0;
}

static void flush(void)
{
    if (fflush(stdout) != 0)
        screen.broken = true;
}

/* Where the window is too low or too narrow, drawing in place would make a mess. */
static bool has_room(size_t lines)
{
    struct winsize size = window();
    return (size.ws_row == 0 || size.ws_row >= lines + SPARE_LINES) &&
           (size.ws_col == 0 || size.ws_col >= LEAST_COLUMNS);
}

void screen_open(size_t rows)
{
    const char *terminal = getenv("TERM");
    bool can_move = terminal != NULL && *terminal != '\0' && strcmp(terminal, "dumb") != 0;
    screen.live = isatty(STDOUT_FILENO) && can_move && !is_on("PLAIN");
    screen.live = screen.live && has_room(rows + 1);
    screen.colour = screen.live && !is_set("NO_COLOR");
    if (screen.live)
        fputs(CURSOR_HIDE, stdout);
    flush();
}

void screen_close(void)
{
    if (screen.live)
        fputs(CURSOR_SHOW, stdout);
    screen.live = screen.colour = false;
    flush();
}

bool screen_is_live(void)
{
    return screen.live;
}

bool screen_works(void)
{
    return !screen.broken;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_cut(const char *text, int columns)
{
    printf("%.*s", (int)bytes_that_fit(text, columns), text);
}

/* Prints as many whole words as fit and returns the rest. A word that is too long is cut in two. */
static const char *print_line_of(const char *text, int columns)
{
    size_t len = bytes_that_fit(text, columns);
    if (text[len] != '\0') {
        size_t end = len;
        while (end > 0 && text[end] != ' ')
            end--;
        len = end > 0 ? end : len;
    }
    printf("%.*s\n", (int)len, text);
    return text + len + strspn(text + len, " ");
}

void screen_title(const char *text)
{
    fputs(screen.colour ? BOLD : "", stdout);
    print_cut(text, width());
    printf("%s\n", screen.colour ? RESET : "");
    flush();
}

void screen_say(const char *format, ...)
{
    char text[PARAGRAPH];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *rest = text;
    do
        rest = print_line_of(rest, width());
    while (*rest != '\0');
    flush();
}

static void print_one_line(const char *format, va_list args)
{
    char text[PARAGRAPH];
    (void)vsnprintf(text, sizeof text, format, args);
    print_cut(text, width());
    putchar('\n');
    flush();
}

void screen_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_one_line(format, args);
    va_end(args);
}

void screen_event(const char *format, ...)
{
    if (screen.live)
        return;
    va_list args;
    va_start(args, format);
    print_one_line(format, args);
    va_end(args);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static const char *colour_of(enum tone tone)
{
    if (!screen.colour || tone == TONE_NONE)
        return "";
    return tone == TONE_GOOD ? GREEN : RED;
}

static void print_row(const struct row *row, int columns)
{
    const char *colour = colour_of(row->tone);
    int left = columns - columns_of(row->text);
    fputs(LINE_CLEAR, stdout);
    print_cut(row->text, columns);
    if (left > 0) {
        fputs(colour, stdout);
        print_cut(row->word, left);
        fputs(*colour != '\0' ? RESET : "", stdout);
    }
    putchar('\n');
}

void screen_draw(const char *header, const struct row *rows, size_t count)
{
    if (!screen.live || !has_room(count + 1))
        return; /* a window that has just become too small gets its picture when it grows again */
    int columns = width();
    if (screen.drawn > 0)
        printf("\033[%zuA", screen.drawn);
    fputs(LINE_CLEAR, stdout);
    print_cut(header, columns);
    putchar('\n');
    for (size_t i = 0; i < count; i++)
        print_row(&rows[i], columns);
    screen.drawn = count + 1;
    flush();
}

void screen_settle(void)
{
    screen.drawn = 0;
}
