package ipmi

import (
	"math"
	"strings"
	"unicode/utf16"
)

// Record types of the sensor data repository that describe sensors with readings (chapter 43).
const (
	recordFull    = 0x01
	recordCompact = 0x02
)

// sensorRecord is the part of a sensor data record that a reading needs.
type sensorRecord struct {
	owner, lun, number byte
	entity, instance   byte
	kind               byte // sensor type, table 42-3
	class              byte // event/reading type: 1 is threshold
	readable           byte // readable thresholds, bits as in limitNames
	units              [3]byte
	full               bool
	linearization      byte
	factors            factors
	limits             [6]byte // raw, order of limitNames
	name               string
}

// factors turn a raw reading into a value (36.3).
type factors struct {
	m, b       int16
	bExp, rExp int8
}

// limitNames are the thresholds in the order of the mask bits, with ipmitool's names.
var limitNames = [6]string{
	"Lower non-critical", "Lower critical", "Lower non-recoverable",
	"Upper non-critical", "Upper critical", "Upper non-recoverable",
}

// parseRecord reads a whole record with its header. ok is false if it describes no sensor with readings.
func parseRecord(r []byte) (s sensorRecord, ok bool) {
	if len(r) < 32 {
		return s, false
	}
	var id int // of the id string's type/length byte
	switch r[3] {
	case recordFull:
		id = 47
		s.full = true
	case recordCompact:
		id = 31
	default:
		return s, false
	}
	if len(r) <= id {
		return s, false
	}
	s.owner, s.lun, s.number = r[5], r[6]&0x03, r[7]
	s.entity, s.instance = r[8], r[9]&0x7f
	s.kind, s.class = r[12], r[13]&0x7f
	s.units = [3]byte(r[20:23])
	if s.full {
		s.readable = r[18] & 0x3f
		s.linearization = r[23] & 0x7f
		s.factors = parseFactors([6]byte(r[24:30]))
		s.limits = [6]byte{r[41], r[40], r[39], r[38], r[37], r[36]}
	}
	s.name = parseIDString(r[id], r[id+1:])
	return s, true
}

// parseFactors reads bytes 25 to 30 of a full record: M, B and the exponents.
func parseFactors(f [6]byte) factors {
	ten := func(low, high byte) int16 { // 10 bits, two's complement
		v := int16(low) | int16(high&0xc0)<<2
		return v << 6 >> 6
	}
	four := func(v byte) int8 { return int8(v<<4) >> 4 }
	return factors{m: ten(f[0], f[1]), b: ten(f[2], f[3]), rExp: four(f[5] >> 4), bExp: four(f[5] & 0x0f)}
}

// parseIDString decodes the name of a sensor (43.15).
func parseIDString(typeLength byte, b []byte) string {
	n := int(typeLength & 0x1f)
	b = b[:min(n, len(b))]
	var s strings.Builder
	switch typeLength >> 6 {
	case 0: // Unicode, 16 bits each
		var u []uint16
		for i := 0; i+1 < len(b); i += 2 {
			u = append(u, uint16(b[i])|uint16(b[i+1])<<8)
		}
		s.WriteString(string(utf16.Decode(u)))
	case 1: // BCD plus
		const digits = "0123456789 -.:,_"
		for _, v := range b {
			s.WriteByte(digits[v>>4])
			s.WriteByte(digits[v&0x0f])
		}
	case 2: // 6-bit ASCII, packed
		for i := 0; i < len(b)*8/6; i++ {
			bit := i * 6
			v := uint16(b[bit/8])
			if bit/8+1 < len(b) {
				v |= uint16(b[bit/8+1]) << 8
			}
			s.WriteByte(byte(v>>(bit%8))&0x3f + 0x20)
		}
	default: // 8-bit Latin 1
		for _, v := range b {
			s.WriteRune(rune(v))
		}
	}
	clean := strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, s.String())
	return strings.TrimSpace(clean)
}

// analog reports whether readings are numbers.
func (s *sensorRecord) analog() bool { return s.full && s.units[0]>>6 != 3 }

// value converts a raw reading (36.3). ok is false where the result is no number.
func (s *sensorRecord) value(raw byte, f factors) (v float64, ok bool) {
	var x float64
	switch s.units[0] >> 6 {
	case 0:
		x = float64(raw)
	case 1: // one's complement
		if raw&0x80 != 0 {
			x = -float64(^raw)
		} else {
			x = float64(raw)
		}
	case 2:
		x = float64(int8(raw))
	default:
		return 0, false
	}
	v = (float64(f.m)*x + float64(f.b)*math.Pow10(int(f.bExp))) * math.Pow10(int(f.rExp))
	switch s.linearization {
	case 1:
		v = math.Log(v)
	case 2:
		v = math.Log10(v)
	case 3:
		v = math.Log2(v)
	case 4:
		v = math.Exp(v)
	case 5:
		v = math.Pow(10, v)
	case 6:
		v = math.Exp2(v)
	case 7:
		v = 1 / v
	case 8:
		v *= v
	case 9:
		v = v * v * v
	case 10:
		v = math.Sqrt(v)
	case 11:
		v = math.Cbrt(v)
	}
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

// nonlinear reports whether the factors depend on the reading and must be asked for (36.2).
func (s *sensorRecord) nonlinear() bool { return s.linearization >= 0x70 }

// unit is the name of the unit as ipmitool prints it.
func (s *sensorRecord) unit() string {
	base, modifier := unitName(s.units[1]), unitName(s.units[2])
	if s.units[0]&0x01 != 0 {
		base = "percent"
		if s.units[1] != 0 {
			base = "% " + unitName(s.units[1])
		}
	}
	switch s.units[0] >> 1 & 0x03 {
	case 1:
		return base + "/" + modifier
	case 2:
		return base + " * " + modifier
	}
	return base
}
