/*
 * http_request: the head of an HTTP request, taken apart. Bytes in, a struct out; no socket in
 * sight.
 *
 * What stands between a client and a server (a cache, a load balancer) reads the same bytes. Where
 * the two disagree about where a request ends, one client's bytes become the beginning of another
 * one's request: *request smuggling*. So nothing is guessed here. Whatever RFC 9112 calls wrong is
 * refused (400), also where older rules let it pass: a line that ends with "\n" alone, a space
 * before a colon, a field that goes on in the next line, two lengths, a length beside
 * Transfer-Encoding. And behind a request with a body nothing is ever parsed: the connection ends
 * with its answer.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HTTP_HEAD_MOST = 8192,  /**< bytes of a head; more is answered with 431, or 414      */
    HTTP_FIELDS_MOST = 100, /**< header fields; more: 431                                */
    HTTP_PATH_MOST = 1024,  /**< bytes of a path; more: 414                              */
    HTTP_BODY_MOST = 65536, /**< announced bytes of a body, which nobody needs; more: 413 */
    HTTP_VALUE_MOST = 256   /**< bytes of a field that is kept; a longer one is left out */
};

/** What was asked for. */
struct http_request {
    int status;      /**< 0: to be answered; else the answer: 400, 405 ...              */
    bool is_head;    /**< HEAD: the answer's head alone                                 */
    bool keep_alive; /**< another request may follow behind this one                    */

    /* The path, if status is 0. */
    const char *raw; /**< as it was sent, without the query: a part of the caller's bytes */
    size_t raw_len;
    char path[HTTP_PATH_MOST]; /**< decoded, without the first '/'; "" is the folder itself */

    /* Fields that were sent; "" for those that were not. */
    char range[HTTP_VALUE_MOST];
    char if_range[HTTP_VALUE_MOST];
    char if_none_match[HTTP_VALUE_MOST];
};

/**
 * Looks for the end of a head, which is an empty line.
 *
 * @param from  how many bytes an earlier look has seen
 * @return how long the head is, with its empty line; 0: it is not whole yet; -1: it never will be
 *         (a zero, or a line that ends without "\r")
 */
int http_head_end(const char *bytes, size_t len, size_t from);

/** Takes a whole head apart; bytes must stay where they are as long as `raw` is used. */
void http_request_parse(struct http_request *request, const char *bytes, size_t len);

/** Which bytes of a file are wanted. */
enum http_span { HTTP_WHOLE, HTTP_PART, HTTP_OUTSIDE };

/**
 * Reads a Range field. One range only: several at once, other units than bytes, and whatever is not
 * a range are as if they were not there, and the whole file is the answer (RFC 9110, 14.2).
 *
 * @param first, last  take the first and the last byte of a HTTP_PART
 * @return HTTP_OUTSIDE: no byte of the file lies in it, the answer is 416
 */
enum http_span http_range(const char *range, uint64_t size, uint64_t *first, uint64_t *last);

/** "404" in words: "Not Found". */
const char *http_reason(int status);

/** The media type of a file with this name, by its ending. */
const char *http_type(const char *name);

#ifdef __cplusplus
}
#endif

#endif
