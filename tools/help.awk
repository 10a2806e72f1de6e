# help: prints the comments of the Makefile that are meant for everybody.
#   "## group"                      a heading
#   "#: target VAR=    what it does"  one line of the list

BEGIN   { print "make TARGET [VARIABLE=value ...]" }
/^## /  { print ""; print substr($0, 4) }
/^#: /  { print "  " substr($0, 4) }
