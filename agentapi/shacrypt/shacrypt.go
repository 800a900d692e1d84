// Package shacrypt hashes passwords as crypt(3) does with SHA-256 and SHA-512, the forms "$5$" and "$6$" of /etc/shadow. Rescue passwords travel
// to agents so. Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512", version 0.6.
//
// # Concurrency
//
// Pure functions only.
package shacrypt

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
	"strconv"
	"strings"

	"ferric"
)

// Algorithm names a hash.
type Algorithm string

// The algorithms.
const (
	SHA256 Algorithm = "sha256"
	SHA512 Algorithm = "sha512"
)

const (
	alphabet      = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	saltLength    = 16
	defaultRounds = 5000
	minRounds     = 1000
	maxRounds     = 1_000_000 // the format allows a thousand times more, which nobody waits for
	maxPassword   = 1024      // bytes; the work grows with the square of the length
)

// Hash hashes a password with a random salt. CodeInvalid for an unknown algorithm and for a password that is too long.
func Hash(password string, a Algorithm) (string, error) {
	prefix, ok := map[Algorithm]string{SHA256: "$5$", SHA512: "$6$", "": "$5$"}[a]
	if !ok {
		return "", ferric.Errorf(ferric.CodeInvalid, "password hash algorithm %q is not sha256 or sha512", a)
	}
	salt := make([]byte, saltLength)
	rand.Read(salt)
	for i, b := range salt {
		salt[i] = alphabet[b&63]
	}
	return crypt(password, prefix+string(salt))
}

// Verify reports whether a password has the hash. An unreadable hash has no password.
func Verify(hashed, password string) bool {
	got, err := crypt(password, hashed)
	return err == nil && subtle.ConstantTimeCompare([]byte(got), []byte(hashed)) == 1
}

// Check returns CodeInvalid for a hash that no password could have.
func Check(hashed string) error {
	_, err := crypt("", hashed)
	return err
}

// crypt hashes with the setting ("$5$salt" or a whole hash).
func crypt(password, setting string) (string, error) {
	parts := strings.Split(setting, "$")
	if len(parts) < 3 || parts[0] != "" {
		return "", ferric.Errorf(ferric.CodeInvalid, "the password hash is not in the form $5$salt$hash")
	}
	if len(password) > maxPassword {
		return "", ferric.Errorf(ferric.CodeInvalid, "the password is longer than %d bytes", maxPassword)
	}
	prefix, rest := "$"+parts[1]+"$", parts[2:]
	rounds, named := defaultRounds, false
	if text, ok := strings.CutPrefix(rest[0], "rounds="); ok && len(rest) > 1 {
		n, err := strconv.Atoi(text)
		if err != nil || n > maxRounds {
			return "", ferric.Errorf(ferric.CodeInvalid, "the password hash asks for %s rounds", text)
		}
		rounds, named, rest = max(n, minRounds), true, rest[1:]
	}
	salt := rest[0]
	if len(salt) > saltLength {
		salt = salt[:saltLength]
	}
	var sum []byte
	var order []int
	switch parts[1] {
	case "5":
		sum, order = digest(sha256.New, password, salt, rounds), order256()
	case "6":
		sum, order = digest(sha512.New, password, salt, rounds), order512()
	default:
		return "", ferric.Errorf(ferric.CodeInvalid, "the password hash is of the unknown kind %q", parts[1])
	}
	out := prefix
	if named {
		out += "rounds=" + strconv.Itoa(rounds) + "$"
	}
	return out + salt + "$" + encode(sum, order), nil
}

// digest is the algorithm of the specification, by its numbered steps.
func digest(algo func() hash.Hash, password, salt string, rounds int) []byte {
	key, size := []byte(password), algo().Size()
	b := algo() // 4 to 8
	b.Write(key)
	b.Write([]byte(salt))
	b.Write(key)
	alternate := b.Sum(nil)
	a := algo() // 1 to 3
	a.Write(key)
	a.Write([]byte(salt))
	a.Write(stretch(alternate, len(key))) // 9, 10
	for n := len(key); n > 0; n >>= 1 {   // 11
		if n&1 != 0 {
			a.Write(alternate)
		} else {
			a.Write(key)
		}
	}
	sum := a.Sum(nil) // 12
	dp := algo()      // 13 to 15
	for range len(key) {
		dp.Write(key)
	}
	p := stretch(dp.Sum(nil), len(key)) // 16
	ds := algo()                        // 17 to 19
	for range 16 + int(sum[0]) {
		ds.Write([]byte(salt))
	}
	s := stretch(ds.Sum(nil), len(salt)) // 20
	for i := range rounds {              // 21
		c := algo()
		if i&1 != 0 {
			c.Write(p)
		} else {
			c.Write(sum[:size])
		}
		if i%3 != 0 {
			c.Write(s)
		}
		if i%7 != 0 {
			c.Write(p)
		}
		if i&1 != 0 {
			c.Write(sum[:size])
		} else {
			c.Write(p)
		}
		sum = c.Sum(nil)
	}
	return sum
}

// stretch repeats a digest to n bytes.
func stretch(sum []byte, n int) []byte {
	return bytes.Repeat(sum, n/len(sum)+1)[:n]
}

// order256 is the order in which the bytes of SHA-256 are encoded, three at a time; -1 is a zero byte that takes no place in the last group.
func order256() []int {
	return []int{0, 10, 20, 21, 1, 11, 12, 22, 2, 3, 13, 23, 24, 4, 14, 15, 25, 5, 6, 16, 26, 27, 7, 17, 18, 28, 8, 9, 19, 29, -1, 31, 30}
}

// order512 is the same for SHA-512.
func order512() []int {
	var out []int
	for i := range 21 { // the groups rotate
		group := []int{i, i + 21, i + 42}
		out = append(out, group[i%3], group[(i+1)%3], group[(i+2)%3])
	}
	return append(out, -1, -1, 63)
}

// encode writes the digest in crypt's base 64, least significant digit first.
func encode(sum []byte, order []int) string {
	var out strings.Builder
	for i := 0; i < len(order); i += 3 {
		value, digits := 0, 4
		for _, at := range order[i : i+3] {
			value <<= 8
			if at < 0 {
				digits--
				continue
			}
			value |= int(sum[at])
		}
		for range digits {
			out.WriteByte(alphabet[value&63])
			value >>= 6
		}
	}
	return out.String()
}
