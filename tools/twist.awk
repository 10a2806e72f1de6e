# twist: a page or a source of an exercise as one student has it.
#
#   awk -v from=1024 -v to=960 -f tools/twist.awk ROWS FILE
#
# ROWS is the exercise's list. Where FILE has the words of one of its lines "twisted WORDS", and they stand there as
# whole words, `from` in them becomes `to`; so does 1,024 for 1024. Other places that happen to have the same number stay.

function with_comma(number) {
    return number ~ /^[0-9][0-9][0-9][0-9]$/ ? substr(number, 1, 1) "," substr(number, 2) : number
}

function replaced(text, old, new,    at) {
    at = index(text, old)
    return at == 0 ? text : substr(text, 1, at - 1) new substr(text, at + length(old))
}

function is_part_of_a_word(letter) {
    return letter ~ /^[A-Za-z0-9_]$/
}

# Each place of `old` in the line, from left to right.
function twisted(line, old, new,    done, at, after) {
    done = ""
    while ((at = index(line, old)) > 0) {
        after = substr(line, at + length(old), 1)
        whole = !is_part_of_a_word(after) &&
            !is_part_of_a_word(at > 1 ? substr(line, at - 1, 1) : substr(done, length(done), 1))
        done = done substr(line, 1, at - 1) (whole ? new : old)
        line = substr(line, at + length(old))
    }
    return done line
}

FILENAME == ARGV[1] {
    if (sub(/^twisted /, "")) {
        words[++count] = $0
        becomes[count] = replaced($0, from, to)
        if (becomes[count] == $0) becomes[count] = replaced($0, with_comma(from), with_comma(to))
    }
    next
}

{
    line = $0
    for (i = 1; i <= count; i++) line = twisted(line, words[i], becomes[i])
    print line
}
