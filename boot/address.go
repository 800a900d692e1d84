package boot

import "strings"

// On the kernel's command line, URLs of the site that a configuration was published from are kept as URLs of whichever site serves it: a host names itself, and
// after itself the others, so that an agent whose host dies calls the next one.

// AnyHost stands on a command line for the URL of whichever host serves it; no real URL begins like that.
const AnyHost = "http://@"

// maxPeers is how many other hosts a command line names.
const maxPeers = 3

// longestSite is as long as a site's URL can be.
const longestSite = "http://255.255.255.255:65535"

// eachURL rewrites the comma-separated URLs in the values of a command line.
func eachURL(cmdline string, rewrite func(url string) []string) string {
	words := strings.Fields(cmdline)
	for i, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok || !strings.Contains(value, "http://") {
			continue
		}
		var out []string
		for url := range strings.SplitSeq(value, ",") {
			out = append(out, rewrite(url)...)
		}
		words[i] = key + "=" + strings.Join(out, ",")
	}
	return strings.Join(words, " ")
}

// below returns what follows site in url.
func below(url, site string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(url, site)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// anywhere makes URLs of the site ones of whichever site serves the command line.
func anywhere(cmdline, site string) string {
	if site == "" {
		return cmdline
	}
	return eachURL(cmdline, func(url string) []string {
		if rest, ok := below(url, site); ok {
			return []string{AnyHost + rest}
		}
		return []string{url}
	})
}

// at gives such a command line the URLs of the site that serves it, and as many others behind them as fit.
func at(cmdline, site string, peers []string) string {
	for n := min(len(peers), maxPeers); ; n-- {
		line := eachURL(cmdline, func(url string) []string {
			rest, ok := below(url, AnyHost)
			if !ok {
				return []string{url}
			}
			all := []string{site + rest}
			for _, p := range peers[:n] {
				all = append(all, p+rest)
			}
			return all
		})
		if len(line) <= MaxCmdline || n == 0 {
			return line
		}
	}
}
