package store

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ferric"
)

// FuzzDecodeDocument: what is read without json.Unmarshal is what json.Unmarshal reads, and it refuses what json.Unmarshal refuses.
func FuzzDecodeDocument(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":"b","n":12,"l":[1,"x",true,false,null,{}],"o":{"p":[]}}`, `{"a":"\u003c"}`, `{"a":1.5,"b":-1,"c":01}`, `[`,
		`null`, `{"a":1}x`, `{"a":"ü","a":2}`, ` {"a": 1}`, `{"a":1,}`, `{"power":"fake","deploy":7}`, `{"a":123456789012345678}`, `{"a":t`, `{"a":1 }`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, want map[string]any
		errGot, errWant := decodeDocument(text, &got), json.Unmarshal([]byte(text), &want)
		if (errGot == nil) != (errWant == nil) {
			t.Fatalf("%q: %v, json.Unmarshal: %v", text, errGot, errWant)
		}
		if diff := cmp.Diff(want, got); errWant == nil && diff != "" {
			t.Errorf("%q (-json +document):\n%s", text, diff)
		}
		var chosen, wanted ferric.Interfaces
		errGot, errWant = decodeDocument(text, &chosen), json.Unmarshal([]byte(text), &wanted)
		if (errGot == nil) != (errWant == nil) {
			t.Fatalf("%q as interfaces: %v, json.Unmarshal: %v", text, errGot, errWant)
		}
		if diff := cmp.Diff(wanted, chosen); errWant == nil && diff != "" {
			t.Errorf("%q as interfaces (-json +document):\n%s", text, diff)
		}
	})
}
