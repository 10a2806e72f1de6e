/*
 * screen: everything that is printed, at a terminal and elsewhere.
 *
 * Live: at a terminal that can move its cursor the rows of an act are drawn again and again in
 * place, with colour unless NO_COLOR is set. Plain: with PLAIN=1, or where stdout is no terminal,
 * there is one line per event, and no escape code at all. What an event or a row says is always
 * said in words; colour only comes on top.
 */
#ifndef DEMO_SCREEN_H
#define DEMO_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

enum { SCREEN_COLUMNS = 80, ROW_TEXT = 256, ROW_WORD = 16 };

enum tone { TONE_NONE, TONE_GOOD, TONE_BAD };

/** A row of a picture: text, and a word in its tone's colour behind it. */
struct row {
    char text[ROW_TEXT];
    char word[ROW_WORD];
    enum tone tone;
};

/** Finds out what stdout is, and hides the cursor of a live one. A window that has no room for a
 *  picture of so many rows is plain. */
void screen_open(size_t rows);
/** Shows the cursor again. May be called twice. */
void screen_close(void);
bool screen_is_live(void);
/** False once nobody reads what we print (a closed pipe, a full disk). */
bool screen_works(void);

/** A headline, in bold where there is colour. */
void screen_title(const char *text);
/** A paragraph, wrapped to the width. printf-like. "" is an empty line. */
void screen_say(const char *format, ...);
/** One line, cut at the width. printf-like. */
void screen_line(const char *format, ...);
/** One line that only a plain screen shows: an event. printf-like. */
void screen_event(const char *format, ...);

/** Draws rows under a header, over those drawn last. Only a live screen does. */
void screen_draw(const char *header, const struct row *rows, size_t count);
/** The rows drawn last stay as they are. */
void screen_settle(void);

/** Appends text to a line of size len, padded with blanks to `width` columns; < 0: on its left. */
void screen_cell(char *line, size_t len, const char *text, int width);

#endif
