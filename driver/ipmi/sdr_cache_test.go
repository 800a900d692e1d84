package ipmi_test

import (
	"fmt"
	"strings"
	"testing"

	"ferric/driver/ipmi"
	"ferric/lab/bmc"
)

// manySensors makes sensors with readings.
func manySensors(n int) []bmc.Sensor {
	var list []bmc.Sensor
	for i := range n {
		list = append(list, bmc.Sensor{Name: fmt.Sprintf("Temp %d", i+1), Kind: bmc.Temperature, Read: func() (float64, bool) { return float64(20 + i), true }, UpperCritical: 90})
	}
	return list
}

// TestRecordsAreRemembered reads sensors again and again: the records are asked for once, the readings every time, and a repository that changed is read anew.
func TestRecordsAreRemembered(t *testing.T) {
	s, _ := newBMC(t, bmc.Options{Sensors: manySensors(20)})
	pool := newPool(t, ipmi.Options{})
	read := func(want int) {
		t.Helper()
		sensors, err := pool.BMC(infoFor(s)).Sensors(t.Context())
		if err != nil || len(sensors) != want {
			t.Fatalf("%d sensors, want %d: %v", len(sensors), want, err)
		}
		for i, sensor := range sensors {
			if sensor.Name != fmt.Sprintf("Temp %d", i+1) || sensor.Value != float64(20+i) || sensor.Limits["Upper critical"] != 90 {
				t.Errorf("sensor %d: %+v", i, sensor)
			}
		}
	}
	asked := func(what string) int {
		n := 0
		for name, count := range s.Stats().Commands {
			if strings.EqualFold(name, what) {
				n += count
			}
		}
		return n
	}
	read(20)
	records := asked("Get SDR")
	if records < 20 {
		t.Fatalf("%d pieces of records were asked for: %v", records, s.Stats().Commands)
	}
	for range 5 {
		read(20)
	}
	if got := asked("Get SDR"); got != records || asked("Get Sensor Reading") != 6*20 {
		t.Errorf("%d more pieces of records were asked for, and %d readings", got-records, asked("Get Sensor Reading"))
	}
	s.SetSensors(manySensors(21))
	read(21)
	again := asked("Get SDR")
	if again <= records {
		t.Error("the changed repository was not read")
	}
	s.SetSensors(manySensors(21)) // written anew with as many
	read(21)
	if asked("Get SDR") <= again {
		t.Error("the repository that was written anew was not read")
	}
}

// TestSimulatorRecords does the same with ipmi_sim, whose repository is changed by the commands of IPMI, and not by us.
func TestSimulatorRecords(t *testing.T) {
	s := startSimulator(t)
	pool := newPool(t, ipmi.Options{})
	s.waitReady(t, pool)
	b := pool.BMC(s.info())
	read := func(names ...string) (datagrams int64) {
		t.Helper()
		before := pool.Stats().Datagrams
		sensors, err := b.Sensors(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, sensor := range sensors {
			got = append(got, sensor.Name)
		}
		if strings.Join(got, ",") != strings.Join(names, ",") {
			t.Errorf("sensors %q, want %q", got, names)
		}
		return pool.Stats().Datagrams - before
	}
	first := read("CPU Temp")
	for range 3 {
		if again := read("CPU Temp"); again >= first {
			t.Errorf("the first time %d datagrams were sent, and %d again", first, again)
		}
	}
	// A compact record (43.2) of sensor 2. ipmi_sim takes the sixth byte, which is the sensor's owner, for the length behind it: 38 bytes fit both.
	record := make([]byte, 32, 38)
	record[2], record[3], record[4], record[5], record[7] = 0x51, 0x02, 33, 0x20, 2
	record[12], record[13], record[20], record[31] = 0x08, 0x6f, 0xc0, 0xc6
	record = append(record, "Door 2"...)
	raw := func(what string, code byte, data []byte, want int) []byte {
		t.Helper()
		reply, err := b.Raw(t.Context(), 0x0a, code, data)
		if err != nil || len(reply) < want {
			t.Fatalf("%s: % x, %v", what, reply, err)
		}
		return reply
	}
	raw("add a record", 0x24, record, 2)
	read("CPU Temp", "Door 2")
	reservation := raw("reserve the repository", 0x22, nil, 2)
	remembered := read("CPU Temp", "Door 2")
	// ipmi_sim notes the time of the erasure, and keeps the records: they must be read again to know.
	raw("clear the repository", 0x27, append(reservation[:2:2], "CLR\xaa"...), 0)
	if again := read("CPU Temp", "Door 2"); again <= remembered {
		t.Errorf("with a new erasure %d datagrams were sent, and %d without", again, remembered)
	}
}

// BenchmarkSensors reads 60 sensors of one BMC: the first time, and again.
func BenchmarkSensors(b *testing.B) {
	s, _ := newBMC(b, bmc.Options{Sensors: manySensors(60)})
	for _, name := range []string{"first", "again"} {
		b.Run(name, func(b *testing.B) {
			pool := newPool(b, ipmi.Options{})
			read := func() {
				if sensors, err := pool.BMC(infoFor(s)).Sensors(b.Context()); err != nil || len(sensors) != 60 {
					b.Fatal(len(sensors), err)
				}
			}
			read()
			before := pool.Stats().Datagrams
			for b.Loop() {
				if name == "first" {
					b.StopTimer()
					s.SetSensors(manySensors(60))
					b.StartTimer()
				}
				read()
			}
			b.ReportMetric(float64(pool.Stats().Datagrams-before)/float64(b.N), "datagrams/op")
		})
	}
}
