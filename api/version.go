package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// The microversions served. All are 1.x; a version is its minor number everywhere in this package.
const (
	minVersion = 1
	maxVersion = 115
)

// The headers of version negotiation.
const (
	versionHeader    = "X-OpenStack-Ironic-API-Version"
	minVersionHeader = "X-OpenStack-Ironic-API-Minimum-Version"
	maxVersionHeader = "X-OpenStack-Ironic-API-Maximum-Version"
	// standardHeader is OpenStack's common one: "baremetal 1.94", several services separated by commas. It wins over
	// Ironic's own header.
	standardHeader = "OpenStack-API-Version"
)

func versionString(minor int) string { return "1." + strconv.Itoa(minor) }

// negotiate reads the wanted version from the request's headers, sets those of the answer and returns the minor number. No
// header means 1.1. The error is a 406.
func negotiate(in, out http.Header) (int, error) {
	wanted := standardVersion(in.Get(standardHeader))
	if wanted == "" {
		values := strings.Split(in.Get(versionHeader), ",")
		wanted = strings.TrimSpace(values[len(values)-1])
	}
	minor := minVersion
	switch {
	case wanted == "":
	case strings.EqualFold(wanted, "latest"):
		minor = maxVersion
	default:
		var major int
		var ok bool
		if major, minor, ok = parseVersion(wanted); !ok {
			return 0, &routeError{status: http.StatusNotAcceptable, description: "Invalid value for " + versionHeader + " header"}
		}
		out.Set(minVersionHeader, versionString(minVersion))
		out.Set(maxVersionHeader, versionString(maxVersion))
		if major != 1 {
			return 0, &routeError{status: http.StatusNotAcceptable, description: fmt.Sprintf(
				"Mutually exclusive versions requested. Version %d.%d requested but not supported by this service. "+
					"The supported version range is: [1.%d, 1.%d].", major, minor, minVersion, maxVersion)}
		}
		if minor < minVersion || minor > maxVersion {
			return 0, &routeError{status: http.StatusNotAcceptable, description: fmt.Sprintf(
				"Version %d.%d was requested but the minor version is not supported by this service. "+
					"The supported version range is: [1.%d, 1.%d].", major, minor, minVersion, maxVersion)}
		}
	}
	out.Set(minVersionHeader, versionString(minVersion))
	out.Set(maxVersionHeader, versionString(maxVersion))
	out.Set(versionHeader, versionString(minor))
	return minor, nil
}

// standardVersion finds our service in the common header. The last entry wins.
func standardVersion(header string) string {
	found := ""
	for entry := range strings.SplitSeq(header, ",") {
		service, version, ok := strings.Cut(strings.TrimSpace(entry), " ")
		if ok && strings.EqualFold(service, "baremetal") {
			found = strings.TrimSpace(version)
		}
	}
	return found
}

func parseVersion(s string) (major, minor int, ok bool) {
	a, b, ok := strings.Cut(s, ".")
	if !ok {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(strings.TrimSpace(a))
	minor, err2 := strconv.Atoi(strings.TrimSpace(b))
	return major, minor, err1 == nil && err2 == nil
}
