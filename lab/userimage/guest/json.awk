# Prints every value of a JSON document as one line: path, tab, value. A path is made of object keys and array indices,
# joined by "/". In values, backslash and newline are written \\ and \n, so that printf %b gives the original.
# A malformed document ends with status 1. Works with mawk and busybox awk.
{ text = text $0 "\n" }
END {
	size = length(text); at = 1
	value("")
	blank()
	if (at <= size) fail("text after the end")
}
function fail(why) { print "json: " why " at byte " at | "cat >&2"; exit 1 }
function blank() { while (at <= size && index(" \t\r\n", substr(text, at, 1))) at++ }
function value(path,    c, word, n, key) {
	blank()
	c = substr(text, at, 1)
	if (c == "{") {
		at++; blank()
		if (substr(text, at, 1) == "}") { at++; return }
		for (;;) {
			blank()
			if (substr(text, at, 1) != "\"") fail("no key")
			key = string()
			blank()
			if (substr(text, at, 1) != ":") fail("no colon")
			at++
			value(path == "" ? key : path "/" key)
			blank(); c = substr(text, at++, 1)
			if (c == "}") return
			if (c != ",") fail("no comma in an object")
		}
	}
	if (c == "[") {
		at++; blank()
		if (substr(text, at, 1) == "]") { at++; return }
		for (n = 0; ; n++) {
			value(path == "" ? n : path "/" n)
			blank(); c = substr(text, at++, 1)
			if (c == "]") return
			if (c != ",") fail("no comma in an array")
		}
	}
	if (c == "\"") { print path "\t" string(); return }
	if (!match(substr(text, at, 40), /^(-?[0-9][0-9.eE+-]*|true|false|null)/)) fail("no value")
	word = substr(text, at, RLENGTH); at += RLENGTH
	if (word != "null") print path "\t" word
}
function string(    c, out, code, low) {
	at++
	for (;;) {
		# In one go to the next character that needs attention.
		if (match(substr(text, at, 500), /^[^"\\\n]+/)) { out = out substr(text, at, RLENGTH); at += RLENGTH; continue }
		if (at > size) fail("a string without an end")
		c = substr(text, at++, 1)
		if (c == "\"") return out
		if (c != "\\") fail("a line break in a string")
		c = substr(text, at++, 1)
		if (c == "n") out = out "\\n"
		else if (c == "\\") out = out "\\\\"
		else if (c == "t") out = out "\t"
		else if (c == "r") out = out "\r"
		else if (c == "b" || c == "f") out = out " "
		else if (c == "u") {
			code = hex(substr(text, at, 4)); at += 4
			if (code >= 55296 && code < 56320 && substr(text, at, 2) == "\\u") {
				low = hex(substr(text, at + 2, 4)); at += 6
				code = 65536 + (code - 55296) * 1024 + low - 56320
			}
			out = out utf8(code)
		} else out = out c
	}
}
function hex(digits,    n, i, d) {
	for (i = 1; i <= 4; i++) {
		d = index("0123456789abcdef", tolower(substr(digits, i, 1)))
		if (!d) fail("a wrong \\u")
		n = n * 16 + d - 1
	}
	return n
}
function utf8(code) {
	if (code == 10) return "\\n"
	if (code == 92) return "\\\\"
	if (code < 128) return sprintf("%c", code)
	if (code < 2048) return sprintf("%c%c", 192 + int(code / 64), 128 + code % 64)
	if (code < 65536) return sprintf("%c%c%c", 224 + int(code / 4096), 128 + int(code / 64) % 64, 128 + code % 64)
	return sprintf("%c%c%c%c", 240 + int(code / 262144), 128 + int(code / 4096) % 64, 128 + int(code / 64) % 64, 128 + code % 64)
}
