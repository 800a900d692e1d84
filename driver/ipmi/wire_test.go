package ipmi

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"
	"testing/quick"

	"ferric"
)

func testKeys(n int) keys {
	block, err := aes.NewCipher([]byte("0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	if n == 3 {
		return keys{integrity: sha1.New, integrityLen: 12, k1: []byte("key one"), block: block}
	}
	return keys{integrity: sha256.New, integrityLen: 16, k1: []byte("key one"), block: block}
}

func TestSealOpen(t *testing.T) {
	for _, suite := range []int{3, 17} {
		k := testKeys(suite)
		for size := range 70 {
			plain := bytes.Repeat([]byte{0xab}, size)
			raw := k.seal(7, 9, plain)
			if (len(raw)-rmcpHeaderLen-k.integrityLen)%4 != 0 {
				t.Errorf("size %d: the authenticated part has no multiple of 4 bytes", size)
			}
			sequence, got, err := k.open(raw, 7)
			if err != nil || sequence != 9 || !bytes.Equal(got, plain) {
				t.Fatalf("size %d: %d % x %v", size, sequence, got, err)
			}
			if _, _, err := k.open(raw, 8); err == nil {
				t.Errorf("size %d: opened a packet of another session", size)
			}
			for bit := range len(raw) * 8 { // no bit of the authenticated part may change
				if bit/8 < rmcpHeaderLen {
					continue
				}
				forged := bytes.Clone(raw)
				forged[bit/8] ^= 1 << (bit % 8)
				if _, _, err := k.open(forged, 7); err == nil {
					t.Fatalf("size %d: bit %d was changed and nobody noticed", size, bit)
				}
			}
			for cut := range raw {
				if _, _, err := k.open(raw[:cut], 7); err == nil {
					t.Fatalf("size %d: cut to %d bytes and nobody noticed", size, cut)
				}
			}
		}
	}
}

func TestWindow(t *testing.T) {
	var w window
	for i, step := range []struct {
		sequence uint32
		want     bool
	}{
		{0, false}, {1, true}, {1, false}, {3, true}, {2, true}, {2, false}, {3, false}, {40, true}, {9, true}, {8, false},
		{9, false}, {41, true}, {1000, true}, {999, true}, {999, false}, {968, false}, {969, true}, {math.MaxUint32, false},
	} {
		if got := w.take(step.sequence); got != step.want {
			t.Errorf("step %d: take(%d) = %v", i, step.sequence, got)
		}
	}
	once := func(sequences []uint16) bool { // whatever comes, nothing is taken twice
		var w window
		taken := map[uint32]bool{}
		for _, s := range sequences {
			n := uint32(s % 100)
			if w.take(n) {
				if taken[n] {
					return false
				}
				taken[n] = true
			}
		}
		return true
	}
	if err := quick.Check(once, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestReading(t *testing.T) {
	full := func(change func(r []byte)) sensorRecord {
		r := make([]byte, 52)
		r[3], r[7], r[12], r[13], r[24], r[47] = 1, 1, 1, 1, 1, 0xc4
		copy(r[48:], "Temp")
		change(r)
		s, ok := parseRecord(r)
		if !ok {
			t.Fatal("not a sensor record")
		}
		return s
	}
	tests := map[string]struct {
		change func(r []byte)
		raw    byte
		want   float64
		ok     bool
	}{
		"as it is":            {func(r []byte) {}, 200, 200, true},
		"two's complement":    {func(r []byte) { r[20] = 0x80 }, 0xff, -1, true},
		"one's complement":    {func(r []byte) { r[20] = 0x40 }, 0xfe, -1, true},
		"no number":           {func(r []byte) { r[20] = 0xc0 }, 1, 0, false},
		"M 100":               {func(r []byte) { r[24] = 100 }, 42, 4200, true},
		"M of 10 bits":        {func(r []byte) { r[24], r[25] = 0x2c, 0x40 }, 2, 600, true},
		"M negative":          {func(r []byte) { r[24], r[25] = 0xff, 0xc0 }, 5, -5, true},
		"result exponent -2":  {func(r []byte) { r[29] = 0xe0 }, 250, 2.5, true},
		"B 5 exponent 1":      {func(r []byte) { r[26], r[29] = 5, 0x01 }, 1, 51, true},
		"B negative":          {func(r []byte) { r[26], r[27] = 0xfb, 0xc0 }, 42, 37, true},
		"square root":         {func(r []byte) { r[23] = 10 }, 81, 9, true},
		"1/x":                 {func(r []byte) { r[23] = 7 }, 4, 0.25, true},
		"1/0":                 {func(r []byte) { r[23] = 7 }, 0, 0, false},
		"logarithm of 0":      {func(r []byte) { r[23] = 1 }, 0, 0, false},
		"square":              {func(r []byte) { r[23] = 8 }, 3, 9, true},
		"cube":                {func(r []byte) { r[23] = 9 }, 3, 27, true},
		"binary exponential":  {func(r []byte) { r[23] = 6 }, 10, 1024, true},
		"decimal exponential": {func(r []byte) { r[23] = 5 }, 3, 1000, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := full(test.change)
			got, ok := s.value(test.raw, s.factors)
			if ok != test.ok || ok && math.Abs(got-test.want) > 1e-9 {
				t.Errorf("got %v, %v; want %v, %v", got, ok, test.want, test.ok)
			}
		})
	}
}

func TestIDString(t *testing.T) {
	tests := map[string]struct {
		typeLength byte
		bytes      string
		want       string
	}{
		"Latin 1":         {0xc4, "T\xe4mp", "Tämp"},
		"padded":          {0xc6, "Temp \x00", "Temp"},
		"control":         {0xc4, "a\nb\x1b", "ab"},
		"shorter than":    {0xdf, "Temp", "Temp"},
		"longer than":     {0xc2, "Temp", "Te"},
		"BCD":             {0x42, "\x12\x3b", "123-"},
		"packed, 4 in 3":  {0x83, "\x29\xdc\xa6", "IPMI"},
		"Unicode":         {0x04, "T\x00\xe4\x00", "Tä"},
		"nothing":         {0xc0, "", ""},
		"Unicode odd end": {0x03, "T\x00x", "T"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := parseIDString(test.typeLength, []byte(test.bytes)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	tests := map[[3]byte]string{
		{0, 1, 0}: "degrees C", {0, 18, 0}: "RPM", {1, 0, 0}: "percent", {1, 6, 0}: "% Watts", {2, 70, 22}: "byte/second", {4, 6, 24}: "Watts * hour", {0, 200, 0}: "unspecified",
	}
	for units, want := range tests {
		s := sensorRecord{units: units}
		if units == [3]byte{2, 70, 22} {
			want = unitName(70) + "/second"
		}
		if got := s.unit(); got != want {
			t.Errorf("%v: %q, want %q", units, got, want)
		}
	}
}

func TestGUIDOrder(t *testing.T) {
	smbios := []byte{0x79, 0x66, 0x9e, 0x7c, 0x25, 0x74, 0xde, 0x40, 0x94, 0x4b, 0xe0, 0x7f, 0xc1, 0xf9, 0x0a, 0xe7}
	network := []byte{0x7c, 0x9e, 0x66, 0x79, 0x74, 0x25, 0x40, 0x0e, 0x94, 0x4b, 0xe0, 0x7f, 0xc1, 0xf9, 0x0a, 0xe7}
	for want, data := range map[string][]byte{"7c9e6679-7425-40de-944b-e07fc1f90ae7": smbios, "7c9e6679-7425-400e-944b-e07fc1f90ae7": network} {
		if got, err := parseGUID(data); err != nil || got != want {
			t.Errorf("% x: %s, %v; want %s", data, got, err, want)
		}
	}
	if _, err := parseGUID(smbios[:15]); err == nil {
		t.Error("15 bytes were accepted")
	}
}

// TestPanic shows that a defect in the handling of a reply ends the operation, not the process.
func TestPanic(t *testing.T) {
	l, err := dial(context.Background(), "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(Options{})
	defer p.Close()
	b := p.BMC(Info{Address: "127.0.0.1", Port: 9})
	s := &session{link: l, creds: b.info.credentials(), keys: testKeys(17)}
	a := &actor{pool: p, address: b.info.Endpoint(), session: s}
	s.lastReply = farFuture
	p.slots <- struct{}{}
	p.actors[a.address] = a
	err = b.do(t.Context(), "test", false, func(context.Context, *turn) error { var none []byte; _ = none[3]; return nil })
	if !ferric.IsCode(err, ferric.CodeInternal) {
		t.Errorf("got %v", err)
	}
	if a.session != nil || len(p.slots) != 0 {
		t.Error("the session is still there")
	}
}

// FuzzOpen gives arbitrary datagrams to the code that opens packets of a session: as they are, and authenticated
// with the right key, as a BMC with a defect would send them.
func FuzzOpen(f *testing.F) {
	k3, k17 := testKeys(3), testKeys(17)
	f.Add(k17.seal(1, 1, []byte("reply")))
	f.Add(k3.seal(1, 1, nil))
	f.Add([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0xc0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 1, 2, 3, 4})
	c := command{netFn: netFnChassis, code: 1}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, k := range []keys{k3, k17} {
			k.open(raw, 1)
			if len(raw) < payloadOffset {
				continue
			}
			signed := append(bytes.Clone(raw), 0, nextHeader)
			signed = append(signed, k.code(signed[rmcpHeaderLen:])...)
			if _, plain, err := k.open(signed, binary.LittleEndian.Uint32(raw[6:])); err == nil {
				parseReply(plain, c, 1)
			}
		}
		parsePresence(raw, Administrator, 1)
		parseReply(raw, c, 1)
	})
}

// FuzzReplies gives arbitrary bytes to the code that reads replies.
func FuzzReplies(f *testing.F) {
	f.Add([]byte{1, 5, 0xe0, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(append([]byte{1, 0, 0x51, 1, 47, 0x20, 0, 1, 3, 1, 0x7f, 0x68, 1, 1}, make([]byte, 40)...))
	f.Add(append([]byte{1, 0, 0x51, 2, 47, 0x20, 0, 1, 3, 1, 0x7f, 0x68, 1, 1}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseBootFlags(data)
		parseDevice(data)
		if g, err := parseGUID(data); err == nil && len(g) != 36 {
			t.Errorf("GUID %q", g)
		}
		if r, ok := parseRecord(data); ok {
			s := Sensor{Threshold: r.class == 1, Unit: r.unit(), Name: r.name, Type: r.kind, Entity: r.entity}
			s.set(r, r.factors, data)
			if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
				t.Errorf("value %v", s.Value)
			}
			s.Ironic()
		}
	})
}

// FuzzLogin answers a login with arbitrary datagrams.
func FuzzLogin(f *testing.F) {
	f.Add([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x11, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0})
	f.Add(append([]byte{0x06, 0x00, 0xff, 0x07, 0x06, 0x13, 0, 0, 0, 0, 0, 0, 0, 0, 72, 0, 1, 0, 0, 0, 1, 1, 1, 1}, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, id := range []int{3, 17} {
			h := newHandshake(suites[id], credentials{username: "admin", password: "pw"})
			h.consoleID = 0x01010101
			for _, step := range []func(context.Context, *link, retry) error{h.open, h.rakp1, h.rakp3} {
				h.tag = 0
				step(t.Context(), fakeLink(raw), retry{tries: 1})
			}
		}
	})
}
