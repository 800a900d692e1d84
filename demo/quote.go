package main

import (
	"strings"
)

// maxCommand is the length from which a printed command is broken into several lines, in bytes.
const maxCommand = 110

// commandLine is how a person would type a command at the top of the source tree: quoted for the shell, with the
// current directory as $PWD, and long ones broken before their options.
func commandLine(cwd string, args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = quote(cwd, arg)
	}
	if one := strings.Join(words, " "); len(one) <= maxCommand {
		return one
	}
	var b strings.Builder
	length := 0
	for i, word := range words {
		// An option takes its value along: the line is measured up to the next option.
		end := i + 1
		for end < len(words) && !strings.HasPrefix(args[end], "-") {
			end++
		}
		group := len(strings.Join(words[i:end], " "))
		switch {
		case i == 0:
		case strings.HasPrefix(args[i], "-") && length+1+group > maxCommand-2:
			b.WriteString(" \\\n    ")
			length = 4
		default:
			b.WriteByte(' ')
			length++
		}
		b.WriteString(word)
		length += len(word)
	}
	return b.String()
}

// quote quotes one argument for the shell where it needs that.
func quote(cwd, arg string) string {
	if at := strings.Index(arg, cwd+"/"); cwd != "" && cwd != "/" && at >= 0 && (at == 0 || strings.HasSuffix(arg[:at], "://")) {
		escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")
		return `"` + escape.Replace(arg[:at]) + "$PWD" + escape.Replace(arg[at+len(cwd):]) + `"`
	}
	if arg != "" && !strings.ContainsFunc(arg, special) {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// special reports whether the shell might see more in a character than itself.
func special(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r))
}
