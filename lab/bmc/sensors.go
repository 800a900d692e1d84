package bmc

import (
	"context"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"github.com/bougou/go-ipmi/pkg/hal"
)

// SensorKind says what a sensor measures.
type SensorKind int

// The kinds of sensors.
const (
	Temperature SensorKind = iota // degrees C, 0 to 255
	FanSpeed                      // RPM, 0 to 25,500 in steps of 100
	Volts                         // 0 to 25.5 in steps of 0.1
	Presence                      // of a power supply: a value other than 0 means present
)

// Sensor is a sensor of the virtual machine.
type Sensor struct {
	Name             string // at most 16 bytes
	Kind             SensorKind
	Read             func() (value float64, ok bool) // must answer at once; nil: no reading
	UpperNonCritical float64                         // limits; 0 means none
	UpperCritical    float64
	LowerCritical    float64
}

// sensorModel is how a kind is coded in its record.
type sensorModel struct {
	kind, unit, entity byte
	m                  byte
	rExp               int8
	scale              float64 // m × 10^rExp
}

var sensorModels = map[SensorKind]sensorModel{
	Temperature: {kind: 0x01, unit: 1, entity: 3, m: 1, rExp: 0, scale: 1},
	FanSpeed:    {kind: 0x04, unit: 18, entity: 29, m: 100, rExp: 0, scale: 100},
	Volts:       {kind: 0x02, unit: 4, entity: 20, m: 1, rExp: -1, scale: 0.1},
	Presence:    {kind: 0x08, entity: 10},
}

func (m sensorModel) raw(v float64) byte {
	return byte(max(0, min(255, math.Round(v/m.scale))))
}

// sdrStore is the sensor data repository: record i+1 and sensor i+1 are sensor i.
type sdrStore struct {
	mu      sync.Mutex
	sensors []Sensor
	records [][]byte
	changed uint32 // seconds since 1970
}

func newSDRStore(sensors []Sensor, now time.Time) *sdrStore {
	st := &sdrStore{}
	st.set(sensors, now)
	return st
}

// set replaces all sensors.
func (st *sdrStore) set(sensors []Sensor, now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sensors, st.records = sensors, nil
	for i, s := range sensors {
		st.records = append(st.records, s.record(i+1))
	}
	st.changed = max(st.changed+1, uint32(now.Unix())) // a second later at least, so that it is seen
}

// info executes Get SDR Repository Info (33.9).
func (st *sdrStore) info([]byte) ([]byte, byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	reply := []byte{0x51}
	reply = binary.LittleEndian.AppendUint16(reply, uint16(len(st.records)))
	reply = binary.LittleEndian.AppendUint16(reply, 0xffff)     // free space is not known
	reply = binary.LittleEndian.AppendUint32(reply, st.changed) // added last
	reply = binary.LittleEndian.AppendUint32(reply, st.changed) // removed last
	return append(reply, 0x02), codeOK                          // reservations
}

// record makes a full sensor record (43.1), or a compact one (43.2) for a sensor with states.
func (s Sensor) record(number int) []byte {
	m := sensorModels[s.Kind]
	name := s.Name[:min(len(s.Name), 16)]
	size := 48
	if s.Kind == Presence {
		size = 32
	}
	r := make([]byte, size, size+len(name))
	binary.LittleEndian.PutUint16(r, uint16(number))
	r[2], r[3] = 0x51, 0x01
	r[4] = byte(size + len(name) - 5)
	r[5], r[7] = 0x20, byte(number)
	r[8], r[9] = m.entity, byte(number)
	r[10], r[11], r[12], r[13] = 0x7f, 0x68, m.kind, 0x01
	r[21] = m.unit
	if s.Kind == Presence {
		r[3], r[13] = 0x02, 0x6f
		r[18] = 0x01 // state 0 can be read
		r[20] = 0xc0 // no number
	} else {
		r[18] = s.mask()
		r[24], r[29] = m.m, byte(m.rExp)<<4
		r[36], r[37], r[38] = 0, m.raw(s.UpperCritical), m.raw(s.UpperNonCritical)
		r[40] = m.raw(s.LowerCritical)
		r[34] = 0xff // highest reading
	}
	r[size-1] = 0xc0 | byte(len(name)) // 8-bit ASCII
	return append(r, name...)
}

// mask has the bits of the limits that exist.
func (s Sensor) mask() byte {
	var mask byte
	for bit, v := range map[byte]float64{0x02: s.LowerCritical, 0x08: s.UpperNonCritical, 0x10: s.UpperCritical} {
		if v != 0 {
			mask |= bit
		}
	}
	return mask
}

func (st *sdrStore) sensor(data []byte) (s Sensor, code byte) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case len(data) < 1:
		return s, codeLengthInvalid
	case data[0] == 0 || int(data[0]) > len(st.sensors):
		return s, codeNotPresent
	}
	return st.sensors[data[0]-1], codeOK
}

// reading executes Get Sensor Reading (35.14).
func (st *sdrStore) reading(data []byte) ([]byte, byte) {
	s, code := st.sensor(data)
	if code != codeOK {
		return nil, code
	}
	v, ok := 0.0, false
	if s.Read != nil {
		v, ok = s.Read()
	}
	if !ok {
		return []byte{0, 0xe0, 0, 0}, codeOK
	}
	if s.Kind == Presence {
		reply := []byte{0, 0xc0, 0, 0x80}
		if v != 0 {
			reply[2] = 0x01
		}
		return reply, codeOK
	}
	var passed byte
	if s.LowerCritical != 0 && v <= s.LowerCritical {
		passed |= 0x02
	}
	if s.UpperNonCritical != 0 && v >= s.UpperNonCritical {
		passed |= 0x08
	}
	if s.UpperCritical != 0 && v >= s.UpperCritical {
		passed |= 0x10
	}
	return []byte{sensorModels[s.Kind].raw(v), 0xc0, 0xc0 | passed}, codeOK
}

// thresholds executes Get Sensor Thresholds (35.9).
func (st *sdrStore) thresholds(data []byte) ([]byte, byte) {
	s, code := st.sensor(data)
	if code != codeOK || s.Kind == Presence {
		return nil, max(code, codeNotPresent)
	}
	m := sensorModels[s.Kind]
	return []byte{s.mask(), 0, m.raw(s.LowerCritical), 0, m.raw(s.UpperNonCritical), m.raw(s.UpperCritical), 0}, codeOK
}

// hysteresis executes Get Sensor Hysteresis (35.7): there is none.
func (st *sdrStore) hysteresis(data []byte) ([]byte, byte) {
	if _, code := st.sensor(data); code != codeOK {
		return nil, code
	}
	return []byte{0, 0}, codeOK
}

// The methods of the library's hal.SDRStore.

// Read returns a record.
func (st *sdrStore) Read(_ context.Context, id uint16) ([]byte, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if id == 0 || int(id) > len(st.records) {
		return nil, hal.ErrNotFound
	}
	return st.records[id-1], nil
}

// RecordIDs lists the records.
func (st *sdrStore) RecordIDs(context.Context) ([]uint16, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	ids := make([]uint16, len(st.records))
	for i := range ids {
		ids[i] = uint16(i + 1)
	}
	return ids, nil
}

// Write is refused: the repository is fixed.
func (*sdrStore) Write(context.Context, uint16, []byte) error { return hal.ErrNotSupported }

// Delete is refused: the repository is fixed.
func (*sdrStore) Delete(context.Context, uint16) error { return hal.ErrNotSupported }
