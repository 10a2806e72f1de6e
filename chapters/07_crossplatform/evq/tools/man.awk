# man.awk: makes the man pages of evq out of the comments of evq.h.
#
#   awk -v out=FOLDER -f man.awk evq.h      writes FOLDER/evq.3 and a page for each function and type
#   awk -v list=1 -f man.awk evq.h          only names the pages, one a line
#
# Doxygen could make pages, too; but they would be one long page, links to it, and one for each field
# of a struct, under names like err.3, which are taken. So the reference in evq.h is read here, in the
# form that it has: a comment /** ... */ and below it what it describes. A page has the declaration,
# the text, the part behind @return, and the pages of the functions that are mentioned. The comment at
# the head of evq.h and those of the constants make evq.3.

# ---- roff -------------------------------------------------------------------------------------------

function escaped(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/) text = "\\&" text
    return text
}

# Words of C stand between backquotes; a call of a function is in bold, and so is a line of the contract.
function styled(text,    before, word) {
    text = escaped(text)
    while (match(text, /`[^`]*`/)) {
        word = substr(text, RSTART + 1, RLENGTH - 2)
        text = substr(text, 1, RSTART - 1) "\\fI" word "\\fP" substr(text, RSTART + RLENGTH)
    }
    before = ""
    while (match(text, /evq_[a-z_]+\(\)/)) {
        before = before substr(text, 1, RSTART - 1) "\\fB" substr(text, RSTART, RLENGTH - 2) "\\fP()"
        text = substr(text, RSTART + RLENGTH)
    }
    text = before text
    if (match(text, /^Line [0-9]+, [a-z ]+\./))
        text = "\\fB" substr(text, 1, RLENGTH) "\\fP" substr(text, RLENGTH + 1)
    return text
}

# Text in paragraphs; what is indented in the comment is code or a drawing.
function flowing(text,    lines, count, i, result, inside, blank) {
    count = split(text, lines, "\n")
    result = ""
    inside = 0
    blank = 0
    for (i = 1; i <= count; i++) {
        if (lines[i] ~ /^[ \t]*$/) { blank = 1; continue }
        if (lines[i] !~ /^    /) sub(/^ +/, "", lines[i])
        if ((lines[i] ~ /^    /) != inside) {
            inside = !inside
            result = result (inside ? ".PP\n.in +4n\n.nf\n" : ".fi\n.in\n.PP\n")
        } else if (blank && result != "")
            result = result (inside ? "\n" : ".PP\n")
        blank = 0
        result = result (inside ? escaped(substr(lines[i], 5)) : styled(lines[i])) "\n"
    }
    return result (inside ? ".fi\n.in\n" : "")
}

function verbatim(text,    lines, count, i, result) {
    count = split(text, lines, "\n")
    result = ".nf\n"
    for (i = 1; i <= count; i++) result = result escaped(lines[i]) "\n"
    return result ".fi\n"
}

function title(name) {
    return ".TH " toupper(name) " 3 \"\" \"evq " version "\" \"evq\"\n"
}

# The first sentence, as the line NAME wants it: no capital letter, no point, nothing in parentheses.
function summary(text,    sentence) {
    sentence = text
    sub(/\n\n.*/, "", sentence)
    gsub(/\n/, " ", sentence)
    gsub(/ \([^()]*(\(\))?[^()]*\)/, "", sentence)
    if (match(sentence, /[.;:] /)) sentence = substr(sentence, 1, RSTART - 1)
    sub(/\.$/, "", sentence)
    gsub(/`/, "", sentence)
    return tolower(substr(sentence, 1, 1)) substr(sentence, 2)
}

# ---- pages ------------------------------------------------------------------------------------------

# The others that the text speaks of.
function see_also(name, text,    found, word, seen) {
    found = "\\fBevq\\fP(3)"
    while (match(text, /evq_[a-z_]+\(\)/)) {
        word = substr(text, RSTART, RLENGTH - 2)
        text = substr(text, RSTART + RLENGTH)
        if (word != name && !(word in seen)) found = found ",\n\\fB" word "\\fP(3)"
        seen[word] = 1
    }
    return ".SH SEE ALSO\n" found "\n"
}

function write_page(name, text, declaration,    returned, page) {
    names[++count_of_names] = name
    summaries[name] = summary(text)
    if (list) return
    returned = ""
    if (match(text, /\n@return/)) {
        returned = substr(text, RSTART + 9)
        text = substr(text, 1, RSTART - 1)
        gsub(/\n +/, "\n", returned)
        returned = toupper(substr(returned, 1, 1)) substr(returned, 2)
    }
    page = title(name) ".SH NAME\n" name " \\- " escaped(summaries[name]) "\n"
    page = page ".SH SYNOPSIS\n.nf\n\\fB#include <evq.h>\\fP\n.fi\n.PP\n" verbatim(declaration)
    page = page ".SH DESCRIPTION\n" flowing(text)
    if (returned != "") page = page ".SH RETURN VALUE\n" flowing(returned)
    page = page see_also(name, text returned)
    printf "%s", page > (out "/" name ".3")
    close(out "/" name ".3")
}

function write_overview(    page, i, name) {
    page = title("evq") ".SH NAME\nevq \\- " escaped(summary(essay)) "\n"
    page = page ".SH SYNOPSIS\n.nf\n\\fB#include <evq.h>\\fP\n"
    page = page "\ncc app.c $(pkg\\-config \\-\\-cflags \\-\\-libs evq)\n.fi\n"
    page = page ".SH DESCRIPTION\n" flowing(essay) ".SH PAGES\n"
    for (i = 1; i <= count_of_names; i++) {
        name = names[i]
        if (headings[name] != "") page = page ".SS \"" escaped(headings[name]) "\"\n"
        page = page ".TP\n\\fB" name "\\fP(3)\n" escaped(summaries[name]) "\n"
    }
    page = page ".SH LIMITS\n" flowing(limits) ".PP\n" verbatim(limits_declared)
    page = page ".SH ENVIRONMENT\n.TP\nEVQ_BACKEND\nThe backend to take, where the program names none:\n"
    page = page "see \\fBevq_open\\fP(3).\n"
    printf "%s", page > (out "/evq.3")
    close(out "/evq.3")
}

# ---- reading ----------------------------------------------------------------------------------------

# A line of a comment without its frame.
function unframed(line) {
    sub(/^ ?\/\*\*? ?/, "", line)
    sub(/ *\*\/$/, "", line)
    sub(/^ \* ?/, "", line)
    return line
}

# What stands below a comment is over: it was for a function, a type, or something without a page.
function declared(    name) {
    name = ""
    if (match(declaration, /^(typedef )?(struct|enum) evq_[a-z]+ \{/)) {
        name = substr(declaration, RSTART, RLENGTH - 2)
        sub(/.* /, "", name)
    } else if (match(declaration, /evq_[a-z_]+\(/))
        name = substr(declaration, RSTART, RLENGTH - 1)
    sub(/\n\n    \/\* The queue's.*/, "\n    ... /* the rest is the queue's */\n};", declaration)
    gsub(/\/\*\*<?/, "/*", declaration)
    if (name != "" && name != "evq_fifo") {
        headings[name] = heading
        heading = ""
        write_page(name, comment, declaration)
    }
    state = "between"
}

BEGIN { state = "between" }

/^#define EVQ_VERSION_/ { version = version (version != "" ? "." : "") $3 }

/^\/\* ---- / {
    heading = $0
    gsub(/^\/\* -+ | -+ \*\/$/, "", heading)
    next
}

state == "between" && /^\/\*/ {
    kind = /^\/\*\*/ ? "doc" : "other"
    comment = unframed($0)
    state = /\*\/$/ ? "after" : "comment"
    if (state == "after") declaration = ""
    next
}

state == "comment" {
    comment = comment "\n" unframed($0)
    if ($0 !~ /\*\/$/) next
    sub(/^\n+/, "", comment)
    sub(/\n+$/, "", comment)
    declaration = ""
    state = "after"
    if (kind == "doc") next
    state = "between"
    if (essay == "") {
        essay = comment
        sub(/^evq\.h: o/, "O", essay)
    }
    else if (comment ~ /^Line 18/) { limits = comment; state = "limits" }
    next
}

state == "limits" {
    limits_declared = limits_declared (limits_declared != "" ? "\n" : "") $0
    if (/^}/) state = "between"
    next
}

state == "after" && kind == "other" { state = "between" }

state == "after" {
    declaration = declaration (declaration != "" ? "\n" : "") $0
    if (declaration ~ /^#define/ || declaration ~ /\);$/ || declaration ~ /\n}[^\n]*;$/ ||
        declaration ~ /^typedef [^{]*;$/ || ($0 == "" && declaration !~ /\{/))
        declared()
}

END {
    gsub(/\/\*\*/, "/*", limits_declared)
    if (list) {
        print "evq.3"
        for (i = 1; i <= count_of_names; i++) print names[i] ".3"
    } else
        write_overview()
}
