package shacrypt_test

import (
	"strings"
	"testing"

	"ferric/agentapi/shacrypt"
)

// TestVectors are what "openssl passwd -5" and "-6" make.
func TestVectors(t *testing.T) {
	for hash, password := range map[string]string{
		"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5":                                                              "Hello world!",
		"$5$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5":                                                        "This is just a test",
		"$5$a$m5PPB7rYZmTs0gzCcO.9R/qmXtGr3g/5s2bl1flV9x2":                                                                       "x",
		"$5$short$i3halgCPA5Tj950eNUYOu0DzkhP80kE9UzWfE8CAZTC":                                                                   "a very much longer text to encrypt.  This one even stretches over morethan one line.",
		"$5$rounds=1400$anotherlongsalts$njY8e8Oazdt6LVB1IFQuzVqvw.kEeITfw0rzKvFXP9/":                                            "we have a short salt string but not a short password",
		"$5$umlaut$TMiFegtqn1WQJ4Of917ykMmTvlz4AfeDJltzeMfH8E1":                                                                  "pässwörd €",
		"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1":                   "Hello world!",
		"$6$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0":             "This is just a test",
		"$6$a$AvQLBHPFSbE4d9QOBrglBdXuv.jRoEFLHgWJlsZ6XhNHrxkMbotj9kAr0GGhdZ5XM6DM29/LJ9jZin3Aj8Tph0":                            "x",
		"$6$short$fYpg6FDLLGgKKgczuklusuWHGzT9K6NxQDXKtdooSBHqgNlAo/Mvwx54PmGeF50XLuyKAqzMqStrYNerssBhQ/":                        "a very much longer text to encrypt.  This one even stretches over morethan one line.",
		"$6$rounds=1400$anotherlongsalts$AP.vbZcNbWD30OfPAcUJe702LINHtb7RqILoLW9vJ/DHPMJyr6a.5rQHcOzBXuDOEzAqm8/9xW6EF/z3vOBQp0": "we have a short salt string but not a short password",
		"$6$umlaut$KiVNVqSVzwsXJcfWPxiebRqWf1fHtDcUdmhplweIGDR6RCm4NTyv22ATu/R38t.dBgMhAISlphNoFk8Jd3tXx.":                       "pässwörd €",
	} {
		if !shacrypt.Verify(hash, password) {
			t.Errorf("%s is not the hash of %q", hash, password)
		}
		if shacrypt.Verify(hash, password+" ") {
			t.Errorf("%s is the hash of another password than %q, too", hash, password)
		}
	}
}

func TestHash(t *testing.T) {
	for algorithm, prefix := range map[shacrypt.Algorithm]string{shacrypt.SHA256: "$5$", shacrypt.SHA512: "$6$", "": "$5$"} {
		h, err := shacrypt.Hash("s3cret pass", algorithm)
		if err != nil {
			t.Fatal(err)
		}
		again, err := shacrypt.Hash("s3cret pass", algorithm)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(h, prefix) || h == again || strings.Contains(h, "s3cret") {
			t.Errorf("%s: %s, %s", algorithm, h, again)
		}
		if !shacrypt.Verify(h, "s3cret pass") || shacrypt.Verify(h, "s3cret") || shacrypt.Verify("", "") || shacrypt.Verify(h[:20], "s3cret pass") {
			t.Errorf("%s does not verify as it should", h)
		}
	}
	if _, err := shacrypt.Hash("x", "md5"); err == nil {
		t.Error("md5 was taken")
	}
	if _, err := shacrypt.Hash(strings.Repeat("x", 2000), shacrypt.SHA256); err == nil {
		t.Error("an endless password was taken")
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8", "Hello world!")
	f.Add("$6$rounds=1000$x$", "")
	f.Add("$5$$", "y")
	f.Fuzz(func(t *testing.T, hash, password string) {
		if strings.Contains(hash, "rounds=") && len(hash) > 20 {
			return // slow, not wrong
		}
		shacrypt.Verify(hash, password)
	})
}
