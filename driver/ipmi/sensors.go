package ipmi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"ferric"
)

// maxRecords bounds the walk through a repository: a full one has a few hundred records.
const maxRecords = 2048

// Sensor is a sensor and its reading.
type Sensor struct {
	Name             string
	Number           byte
	Entity, Instance byte    // what it belongs to, tables 43-13 and 43-14
	Type             byte    // table 42-3
	Threshold        bool    // it compares a number with limits; false: it has states
	Available        bool    // there is a reading now
	Value            float64 // if Threshold and Numeric
	Numeric          bool
	Unit             string             // of Value, e.g. "degrees C"
	Limits           map[string]float64 // by name, e.g. "Upper critical"
	Status           string             // of a threshold sensor: "ok", "nc", "cr", "nr", or "ns" without a reading
	States           uint16             // of a discrete sensor: bit i is state i
}

// Sensors reads all sensors of the BMC. It takes one command for each sensor, and at first several for each record, so
// seconds on most BMCs; operations of others come in between. Records are remembered until the BMC says that its
// repository changed, for a day at most, or for an hour if it has no dates. Safe to repeat. CodeUnsupported if the BMC
// keeps no sensor records.
func (b BMC) Sensors(ctx context.Context) ([]Sensor, error) {
	records, err := b.sensorRecords(ctx)
	if err != nil {
		return nil, err
	}
	sensors := make([]Sensor, 0, len(records))
	for _, r := range records {
		s, err := b.read(ctx, r)
		if err != nil {
			return nil, err
		}
		sensors = append(sensors, s)
	}
	return sensors, nil
}

// runOne executes one command as an operation of its own, so that others get their turn in between.
func (b BMC) runOne(ctx context.Context, what string, c command) ([]byte, error) {
	var data []byte
	err := b.do(ctx, what, false, func(ctx context.Context, t *turn) (err error) {
		data, err = t.run(ctx, c)
		return err
	})
	return data, err
}

// walkRecords walks the repository (33.11, 33.12) and shows every record as it was read.
func (b BMC) walkRecords(ctx context.Context, show func(raw []byte)) ([]sensorRecord, error) {
	var all []sensorRecord
	reader := &recordReader{bmc: b, chunk: 32}
	seen := map[uint16]bool{}
	for id := uint16(0); id != 0xffff && !seen[id] && len(seen) < maxRecords; {
		seen[id] = true
		raw, next, err := reader.record(ctx, id)
		if err != nil {
			if len(seen) == 1 && ferric.IsCode(err, ferric.CodeNotFound) {
				return nil, nil // an empty repository
			}
			return nil, err
		}
		show(raw)
		if r, ok := parseRecord(raw); ok {
			all = append(all, r)
		}
		id = next
	}
	return all, nil
}

// recordReader reads records piece by piece, with the largest piece that the BMC can return.
type recordReader struct {
	bmc         BMC
	reservation uint16
	reserved    bool
	chunk       int
}

const readSDR = "read sensor records"

func (r *recordReader) reserve(ctx context.Context) error {
	data, err := r.bmc.runOne(ctx, readSDR, command{name: "reserve SDR repository", netFn: netFnStorage, code: 0x22})
	if err != nil {
		return err
	}
	if len(data) < 2 {
		return explain(r.bmc.info, readSDR, short("reserve SDR repository", len(data)))
	}
	r.reservation, r.reserved = binary.LittleEndian.Uint16(data), true
	return nil
}

// record reads a record whole. If somebody else changes the repository, the reading begins again.
func (r *recordReader) record(ctx context.Context, id uint16) (raw []byte, next uint16, err error) {
	for try := 1; ; try++ {
		if !r.reserved {
			if err := r.reserve(ctx); err != nil {
				return nil, 0, err
			}
		}
		raw, next, err = r.recordOnce(ctx, id)
		var ce *completionError
		if errors.As(err, &ce) && ce.cc == 0xc5 && try < 5 {
			r.reserved = false
			continue
		}
		return raw, next, err
	}
}

func (r *recordReader) recordOnce(ctx context.Context, id uint16) (raw []byte, next uint16, err error) {
	const header = 5
	piece, next, err := r.piece(ctx, id, 0, header)
	if err != nil {
		return nil, 0, err
	}
	raw = piece
	for whole := header + int(raw[4]); len(raw) < whole; {
		n := min(r.chunk, whole-len(raw))
		piece, _, err := r.piece(ctx, id, len(raw), n)
		var ce *completionError
		if errors.As(err, &ce) && (ce.cc == 0xca || ce.cc == 0xc7 || ce.cc == 0xc8 || ce.cc == 0xff) && r.chunk > 4 {
			r.chunk /= 2
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		raw = append(raw, piece...)
	}
	return raw, next, nil
}

// piece reads n bytes of a record.
func (r *recordReader) piece(ctx context.Context, id uint16, offset, n int) (piece []byte, next uint16, err error) {
	request := binary.LittleEndian.AppendUint16(nil, r.reservation)
	request = binary.LittleEndian.AppendUint16(request, id)
	request = append(request, byte(offset), byte(n))
	data, err := r.bmc.runOne(ctx, readSDR, command{name: "get SDR", netFn: netFnStorage, code: 0x23, data: request})
	if err != nil {
		return nil, 0, err
	}
	if len(data) < 2+n {
		return nil, 0, explain(r.bmc.info, readSDR, short("get SDR", len(data)))
	}
	return data[2 : 2+n], binary.LittleEndian.Uint16(data), nil
}

// read reads a sensor (35.14). A sensor that the BMC cannot read now is no error.
func (b BMC) read(ctx context.Context, r sensorRecord) (Sensor, error) {
	s := Sensor{Name: r.name, Number: r.number, Entity: r.entity, Instance: r.instance, Type: r.kind,
		Threshold: r.class == 0x01, Unit: r.unit(), Status: "ns"}
	if s.Name == "" {
		s.Name = fmt.Sprintf("Sensor %d", r.number)
	}
	if r.owner != addressBMC {
		return s, nil // it lives behind another controller
	}
	data, err := b.runOne(ctx, "read sensor "+s.Name, command{name: "get sensor reading", netFn: netFnSensor, code: 0x2d, lun: r.lun, data: []byte{r.number}})
	var ce *completionError
	if errors.As(err, &ce) && !ce.transient(false) && ce.cc != 0xd4 {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	f := r.factors
	if r.nonlinear() && len(data) > 0 {
		reply, err := b.runOne(ctx, "read sensor "+s.Name, command{name: "get sensor reading factors", netFn: netFnSensor, code: 0x23,
			lun: r.lun, data: []byte{r.number, data[0]}})
		if errors.As(err, &ce) || err == nil && len(reply) < 7 {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		f = parseFactors([6]byte(reply[1:7]))
	}
	s.set(r, f, data)
	return s, nil
}

// set fills in a reading: raw value, flags, one or two bytes of states.
func (s *Sensor) set(r sensorRecord, f factors, data []byte) {
	if len(data) < 2 || data[1]&0x40 == 0 || data[1]&0x20 != 0 { // scanning is off, or no reading
		return
	}
	s.Available = true
	if r.analog() {
		s.Value, s.Numeric = r.value(data[0], f)
	}
	if s.Threshold {
		s.Status = "ok"
		if len(data) > 2 {
			s.Status = thresholdStatus(data[2])
		}
		for i, name := range limitNames {
			if r.readable&(1<<i) == 0 {
				continue
			}
			if v, ok := r.value(r.limits[i], f); ok && r.analog() {
				if s.Limits == nil {
					s.Limits = map[string]float64{}
				}
				s.Limits[name] = v
			}
		}
		return
	}
	for i, v := range data[2:min(4, len(data))] {
		s.States |= uint16(v) << (8 * i)
	}
	s.States &= 0x7fff
	s.Status = "ok"
}

// thresholdStatus names the worst limit that a reading has passed, as ipmitool does.
func thresholdStatus(bits byte) string {
	switch {
	case bits&0x24 != 0:
		return "nr"
	case bits&0x12 != 0:
		return "cr"
	case bits&0x09 != 0:
		return "nc"
	}
	return "ok"
}

// TypeName is the name of the sensor's type, as ipmitool has it.
func (s Sensor) TypeName() string { return sensorTypeName(s.Type) }

// Ironic gives a sensor the form that Ironic's ipmitool driver reports: the type that groups sensors, the key in
// that group, and ipmitool's field names and values.
func (s Sensor) Ironic() (group, id string, fields map[string]string) {
	id = fmt.Sprintf("%s (0x%x)", s.Name, s.Number)
	class := "Discrete"
	if s.Threshold {
		class = "Threshold"
	}
	fields = map[string]string{
		"Sensor ID":                   id,
		"Entity ID":                   fmt.Sprintf("%d.%d (%s)", s.Entity, s.Instance, entityName(s.Entity)),
		"Sensor Type (" + class + ")": fmt.Sprintf("%s (0x%02x)", s.TypeName(), s.Type),
		"Sensor Reading":              s.reading(),
	}
	if s.Threshold {
		fields["Status"] = s.Status
		for name, v := range s.Limits {
			fields[name] = strconv.FormatFloat(v, 'f', 3, 64)
		}
	} else if s.Available {
		fields["States Asserted"] = fmt.Sprintf("0x%04x", s.States)
	}
	return ironicGroup(s.TypeName()), id, fields
}

func (s Sensor) reading() string {
	switch {
	case !s.Available:
		return "No Reading"
	case s.Numeric:
		return fmt.Sprintf("%s (+/- 0) %s", strconv.FormatFloat(s.Value, 'g', 6, 64), s.Unit)
	default:
		return fmt.Sprintf("%xh", s.States)
	}
}
