# zoo.awk: reads the heads of the zoo's patches (tests/zoo/README.md tells what stands in one).
#
#   awk -f zoo.awk PATCH...                what is wrong with them, a line for each; else nothing
#   awk -v table=1 -f zoo.awk PATCH...     a row of the page's table for each

function clear() {
    split("", count)
    split("", value)
    other = ""
}

function keep(line, key) {
    key = substr(line, 1, index(line, ":") - 1)
    sub(/^[A-Z][a-z]*: */, "", line)
    value[key, ++count[key]] = line
}

# What a test is about, without its own name: the program, the step, the backend.
function subject_of(spec, words, n, i, all) {
    n = split(spec, words, " ")
    for (i = 1; i <= n; i++) {
        if (words[i] ~ /^(CH|STEP|EVQ_BACKEND)=/)
            all = all " " words[i]
        else if (words[i] ~ /:/)
            all = all " " substr(words[i], 1, index(words[i], ":") - 1)
    }
    return all
}

function wrong(what) { print "tests/zoo/" name ".patch: " what }

# It must tell the story, and what must hold must be of what goes red.
function judge(keys, n, i, holds) {
    n = split("Bug Seen Hurts Red Holds", keys, " ")
    for (i = 1; i <= n; i++) {
        if (value[keys[i], 1] == "")
            wrong("there is no line " keys[i] ":")
        if (keys[i] != "Red" && count[keys[i]] > 1)
            wrong("there are several lines " keys[i] ":")
    }
    holds = value["Holds", 1]
    for (i = 1; i <= count["Red"]; i++) {
        if (value["Red", i] == holds)
            wrong("the same test cannot go red and hold")
        if (subject_of(value["Red", i]) != subject_of(holds))
            wrong("Holds: is not of the same program as Red: " value["Red", i])
    }
    if (other != "")
        wrong("not a line of a head: " other)
}

function row(reds, i, needs) {
    for (i = 1; i <= count["Red"]; i++)
        reds = reds (i > 1 ? " " : "") "`" value["Red", i] "`"
    needs = value["Needs", 1] == "" ? "" : " (needs " value["Needs", 1] ")"
    printf "| [%s](%s.patch) | %s%s | %s | `%s` |\n", name, name, value["Bug", 1], needs, reds, value["Holds", 1]
}

function finish() {
    if (name == "")
        return
    if (table)
        row()
    else
        judge()
}

FNR == 1 {
    finish()
    clear()
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.patch$/, "", name)
    in_head = 1
}
/^--- / { in_head = 0 }
in_head && /^[A-Z][a-z]*: / { keep($0); next }
in_head && $0 != "" && other == "" { other = $0 }
END { finish() }
