#include "http_request.h"

#include <string.h>

/* ---- bytes ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_token(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* A piece of the caller's bytes. */
struct text {
    const char *at;
    size_t len;
};

/* word is in lower case */
static bool text_is(struct text text, const char *word)
{
    size_t i = 0;
    while (i < text.len && word[i] != '\0' && lower(text.at[i]) == word[i])
        i++;
    return i == text.len && word[i] == '\0';
}

/* The case of letters counts: of a method, for instance. */
static bool text_is_exactly(struct text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

static bool text_begins(struct text text, const char *word)
{
    size_t len = strlen(word);
    return text.len >= len && text_is((struct text){text.at, len}, word);
}

static struct text without_blanks(struct text text)
{
    while (text.len > 0 && (*text.at == ' ' || *text.at == '\t'))
        text.at++, text.len--;
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Digits only, and a number. Absurd ones are all the same: larger than any file. */
static bool text_number(struct text text, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.at[i]))
            return false;
        if (*number > UINT64_MAX / 100)
            *number = UINT64_MAX / 100;
        *number = *number * 10 + (uint64_t)(text.at[i] - '0');
    }
    return text.len > 0;
}

/* ---- the end of a head ---- */

//! [end]
int http_head_end(const char *bytes, size_t len, size_t from)
{
    for (size_t i = from; i < len; i++) {
        if (bytes[i] == '\0' || (bytes[i] == '\n' && (i == 0 || bytes[i - 1] != '\r')))
            return -1;
        if (bytes[i] == '\n' && i >= 3 && bytes[i - 2] == '\n')
            return (int)(i + 1);
    }
    return 0;
}
//! [end]

/* ---- the first line ---- */

static int hex(char c)
{
    c = lower(c);
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

//! [decode]
/*
 * "%41" becomes "A". What would change the meaning of the path is refused: a zero ends a string in
 * C, and a "%2F" is no '/' that divides (RFC 3986, 2.2). Each part of the path is looked at
 * decoded, once: "%2e%2e" is "..". A part that begins with a dot does not exist here: that is "."
 * and "..", and it is what people hide: ".git", ".env".
 */
static int path_decode(char path[HTTP_PATH_MOST], struct text raw)
{
    size_t len = 0;
    for (size_t i = 1; i < raw.len; i++) {
        char c = raw.at[i];
        if (c == '%') {
            int high = i + 2 < raw.len ? hex(raw.at[i + 1]) : -1;
            int low = high >= 0 ? hex(raw.at[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return 400;
            c = (char)(high * 16 + low);
            i += 2;
            if (c == '/')
                return 404;
        }
        if (c == '.' && (len == 0 || path[len - 1] == '/'))
            return 404;
        if (len + 1 == HTTP_PATH_MOST)
            return 414;
        path[len++] = c;
    }
    path[len] = '\0';
    return 0;
}
//! [decode]

/* "/a/b?query", or with "http://name" before it, as a proxy asks. */
static int parse_target(struct http_request *request, struct text target)
{
    if (text_begins(target, "http://")) {
        size_t i = strlen("http://");
        while (i < target.len && target.at[i] != '/' && target.at[i] != '?')
            i++;
        target = (struct text){target.at + i, target.len - i};
        if (target.len == 0 || target.at[0] == '?')
            target = (struct text){"/", 1};
    }
    if (target.len == 0 || target.at[0] != '/' || memchr(target.at, '#', target.len) != NULL)
        return 400;
    const char *query = memchr(target.at, '?', target.len);
    request->raw = target.at;
    request->raw_len = query != NULL ? (size_t)(query - target.at) : target.len;
    return path_decode(request->path, (struct text){request->raw, request->raw_len});
}

/* The parts of "GET /path HTTP/1.1". */
struct first_line {
    struct text method, target;
    int major, minor;
};

static bool split_first_line(struct first_line *first, struct text line)
{
    size_t i = 0, begin;
    while (i < line.len && is_token(line.at[i]))
        i++;
    first->method = (struct text){line.at, i};
    if (i == 0 || i == line.len || line.at[i] != ' ')
        return false;
    for (begin = ++i; i < line.len && line.at[i] > ' ' && line.at[i] < 0x7f;)
        i++; /* a char may be signed: what is beyond ASCII is refused either way */
    first->target = (struct text){line.at + begin, i - begin};
    const char *version = line.at + i;
    if (i == begin || line.len - i != strlen(" HTTP/1.1") || memcmp(version, " HTTP/", 6) != 0 ||
        !is_digit(version[6]) || version[7] != '.' || !is_digit(version[8]))
        return false;
    first->major = version[6] - '0';
    first->minor = version[8] - '0';
    return true;
}

/* ---- the fields ---- */

/* What the fields say together. */
struct fields {
    int count, hosts, lengths;
    bool has_encoding, close, keep_alive;
    uint64_t length;
};

/* "Connection: keep-alive, Upgrade" */
static void parse_connection(struct fields *fields, struct text value)
{
    while (value.len > 0) {
        const char *comma = memchr(value.at, ',', value.len);
        size_t len = comma != NULL ? (size_t)(comma - value.at) : value.len;
        struct text one = without_blanks((struct text){value.at, len});
        fields->close |= text_is(one, "close");
        fields->keep_alive |= text_is(one, "keep-alive");
        len += comma != NULL;
        value = (struct text){value.at + len, value.len - len};
    }
}

static void keep(char kept[HTTP_VALUE_MOST], struct text value)
{
    if (value.len >= HTTP_VALUE_MOST || kept[0] != '\0') /* too long, or a second one: as if none */
        value.len = 0;
    memcpy(kept, value.at, value.len);
    kept[value.len] = '\0';
}

/* A name or an address, and perhaps a port; never a list, a path or a user. */
static bool is_host(struct text value)
{
    for (size_t i = 0; i < value.len; i++)
        if (strchr(" \t,/\\@?#", value.at[i]) != NULL)
            return false;
    return true;
}

//! [field]
/* One line "name: value". 0, or the status of the refusal. */
static int parse_field(struct http_request *request, struct fields *fields, struct text line)
{
    size_t i = 0;
    while (i < line.len && is_token(line.at[i]))
        i++;
    if (i == 0 || i == line.len || line.at[i] != ':')
        return 400; /* no name, a blank before the colon, or a line that goes on */
    struct text name = {line.at, i};
    struct text value = without_blanks((struct text){line.at + i + 1, line.len - i - 1});
    for (size_t k = 0; k < value.len; k++)
        if (((unsigned char)value.at[k] < ' ' && value.at[k] != '\t') || value.at[k] == 0x7f)
            return 400; /* "\r" alone, for instance */
    if (text_is(name, "host") && !is_host(value))
        return 400;
    else if (text_is(name, "host"))
        fields->hosts++;
    else if (text_is(name, "content-length") && !text_number(value, &fields->length))
        return 400;
    else if (text_is(name, "content-length"))
        fields->lengths++;
    else if (text_is(name, "transfer-encoding"))
        fields->has_encoding = true;
    else if (text_is(name, "connection"))
        parse_connection(fields, value);
    else if (text_is(name, "range"))
        keep(request->range, value);
    else if (text_is(name, "if-range"))
        keep(request->if_range, value);
    else if (text_is(name, "if-none-match"))
        keep(request->if_none_match, value);
    return ++fields->count > HTTP_FIELDS_MOST ? 431 : 0;
}
//! [field]

/* ---- the whole ---- */

static struct text next_line(struct text *rest)
{
    const char *end = memchr(rest->at, '\n', rest->len);
    struct text line = {rest->at, (size_t)(end - rest->at) - 1}; /* without "\r\n" */
    rest->len -= line.len + 2;
    rest->at = end + 1;
    return line;
}

//! [judge]
/* Where does this request end, and may it be answered? The framing comes first: who cannot tell
 * where a request ends must not answer it as if nothing were wrong. */
static int judge(struct http_request *request, const struct first_line *first,
                 const struct fields *fields)
{
    bool is_1_0 = first->minor == 0;
    bool has_body = fields->has_encoding || fields->length > 0;
    request->is_head = text_is_exactly(first->method, "HEAD");
    if (fields->hosts > 1 || (fields->hosts == 0 && !is_1_0) || fields->lengths > 1)
        return 400;
    if (fields->has_encoding && (fields->lengths > 0 || is_1_0))
        return 400;
    request->keep_alive = !has_body && !fields->close && (!is_1_0 || fields->keep_alive);
    if (fields->length > HTTP_BODY_MOST)
        return 413;
    if (!request->is_head && !text_is_exactly(first->method, "GET"))
        return 405;
    if (fields->has_encoding)
        return 411;
    return parse_target(request, first->target);
}
//! [judge]

void http_request_parse(struct http_request *request, const char *bytes, size_t len)
{
    struct text rest = {bytes, len};
    struct first_line first;
    struct fields fields = {0};
    *request = (struct http_request){.status = 400};
    if (!split_first_line(&first, next_line(&rest)))
        return;
    if (first.major != 1) {
        request->status = 505;
        return;
    }
    for (struct text line; (line = next_line(&rest)).len > 0;)
        if ((request->status = parse_field(request, &fields, line)) != 0)
            return;
    request->status = judge(request, &first, &fields);
    if (request->status == 400)
        request->keep_alive = false;
}

/* ---- ranges ---- */

//! [range]
enum http_span http_range(const char *range, uint64_t size, uint64_t *first, uint64_t *last)
{
    static const char unit[] = "bytes=";
    const char *dash = strchr(range, '-');
    if (!text_begins((struct text){range, strlen(range)}, unit) || dash == NULL)
        return HTTP_WHOLE;
    struct text from = {range + strlen(unit), (size_t)(dash - range) - strlen(unit)};
    struct text to = {dash + 1, strlen(dash + 1)};
    bool has_from = from.len > 0, has_to = to.len > 0;
    if ((has_from && !text_number(from, first)) || (has_to && !text_number(to, last)) ||
        (!has_from && !has_to) || (has_from && has_to && *first > *last))
        return HTTP_WHOLE;
    if (!has_from) { /* "-500": the last 500 */
        uint64_t wanted = *last < size ? *last : size;
        *first = size - wanted;
        *last = size - 1;
        return wanted == 0 ? HTTP_OUTSIDE : HTTP_PART;
    }
    if (*first >= size)
        return HTTP_OUTSIDE;
    if (!has_to || *last >= size)
        *last = size - 1;
    return HTTP_PART;
}
//! [range]

/* ---- tables ---- */

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {{200, "OK"},
                 {206, "Partial Content"},
                 {301, "Moved Permanently"},
                 {304, "Not Modified"},
                 {400, "Bad Request"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {411, "Length Required"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {416, "Range Not Satisfiable"},
                 {431, "Request Header Fields Too Large"},
                 {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Error";
}

const char *http_type(const char *name)
{
    static const char *const table[][2] = {{".html", "text/html; charset=utf-8"},
                                           {".htm", "text/html; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".json", "application/json"},
                                           {".txt", "text/plain; charset=utf-8"},
                                           {".md", "text/plain; charset=utf-8"},
                                           {".c", "text/plain; charset=utf-8"},
                                           {".h", "text/plain; charset=utf-8"},
                                           {".xml", "text/xml"},
                                           {".svg", "image/svg+xml"},
                                           {".png", "image/png"},
                                           {".jpg", "image/jpeg"},
                                           {".jpeg", "image/jpeg"},
                                           {".gif", "image/gif"},
                                           {".webp", "image/webp"},
                                           {".ico", "image/x-icon"},
                                           {".pdf", "application/pdf"},
                                           {".wasm", "application/wasm"},
                                           {".mp4", "video/mp4"},
                                           {".woff2", "font/woff2"}};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof table / sizeof table[0]; i++)
        if (text_is((struct text){dot, strlen(dot)}, table[i][0]))
            return table[i][1];
    return "application/octet-stream";
}
