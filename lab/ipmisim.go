package lab

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"ferric"
)

// chassisScript is the program that ipmi_sim runs for power, reset and boot device. ipmi_sim takes a path without
// arguments and appends its own.
const chassisScript = "#!/bin/sh\nexec %s chassis-control --dir %s %s \"$@\"\n"

// simFiles are the names in the BMC's folder.
type simFiles struct{ dir string }

func (f simFiles) lan() string         { return filepath.Join(f.dir, "lan.conf") }
func (f simFiles) commands() string    { return filepath.Join(f.dir, "emu.cmd") }
func (f simFiles) script() string      { return filepath.Join(f.dir, "chassis-control") }
func (f simFiles) temperature() string { return filepath.Join(f.dir, "temperature") }
func (f simFiles) records() string     { return filepath.Join(f.dir, "records.sdrs") }
func (f simFiles) state() string       { return filepath.Join(f.dir, "state") }

// lanConf is ipmi_sim's configuration (ipmi_lan(5)). Without a guid no RMCP+ session can be opened. User 1 is the
// anonymous one; it stays disabled.
func lanConf(m MachineConfig, f simFiles) string {
	return fmt.Sprintf(`name "%s"
set_working_mc 0x20
  startlan 1
    addr %s %d
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid %s
  endlan
  chassis_control "%s"
  serial 15 127.0.0.1 %d codec VM
  sol "tcp:127.0.0.1:%d" 115200
  user 1 false "" "" user 10 none md2 md5 straight
  user 2 true "%s" "%s" admin 10 none md2 md5 straight
`, m.Name, m.BMC.Address, m.BMC.Port, reversedUUID(m.UUID), f.script(), m.KCSPort, m.SerialPort, m.BMC.User, m.BMC.Password)
}

// reversedUUID is a UUID as Get System GUID sends it (IPMI 2.0, section 20.8): last byte first.
func reversedUUID(text string) string {
	id := uuid.MustParse(text)
	slices.Reverse(id[:])
	return hex.EncodeToString(id[:])
}

// emuCommands set up the simulated controller (ipmi_sim_cmd(5)): one management controller with an event log and a
// temperature sensor that reads thousandths of a degree from a file.
func emuCommands(f simFiles) string {
	return fmt.Sprintf(`mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
sensor_add 0x20 0 1 0x01 0x01 poll 1000 file "%s" div=1000
sensor_set_threshold 0x20 0 1 settable 111000 90 80 70 00 00 00
mc_enable 0x20
`, f.temperature())
}

// sensorRecords is the source of the sensor data records, for sdrcomp: one linear sensor of degrees Celsius.
const sensorRecords = `sdr type 1
	sensor_owner_id 0x20
	sensor_owner_lun 0
	channel_number 0
	sensor_number 1
	entity_id processor
	entity_instance 1
	init_scanning true
	init_events true
	init_thresholds true
	init_sensor_type true
	default_event_gen_on true
	default_sensor_scan_on true
	sensor_auto_rearm true
	sensor_threshold_access settable
	sensor_event_msg_ctrl per_state
	sensor_type Temperature
	event_reading_type_code 1
	unr_thrsh_readable true
	uc_thrsh_readable true
	unc_thrsh_readable true
	analog_data_format unsigned
	base_unit degrees_C
	m 1
	sensor_direction input
	nominal_specified true
	nominal_reading 35
	sensor_maximum 255
	unr_thresh 90
	uc_thresh 80
	unc_thresh 70
	id_string "CPU Temp"
endsdr
`

// createIPMISim writes what ipmi_sim needs.
func (m *Machine) createIPMISim(ctx context.Context) error {
	f := simFiles{m.files.bmc()}
	sdr := filepath.Join(f.state(), "ipmi_sim", m.Name)
	if err := os.MkdirAll(sdr, 0o700); err != nil {
		return err
	}
	script := fmt.Sprintf(chassisScript, shellQuote(m.lab.config.Self...), shellQuote(m.lab.dir), shellQuote(m.Name))
	for _, file := range []struct {
		path, text string
		mode       os.FileMode
	}{
		{f.lan(), lanConf(m.MachineConfig, f), 0o600},
		{f.commands(), emuCommands(f), 0o600},
		{f.script(), script, 0o700},
		{f.temperature(), "35000\n", 0o600},
		{f.records(), sensorRecords, 0o600},
	} {
		if err := os.WriteFile(file.path, []byte(file.text), file.mode); err != nil {
			return err
		}
	}
	if err := m.lab.run(ctx, "sdrcomp", "-o", filepath.Join(sdr, "sdr.20.main"), f.records()); err != nil {
		return ferric.Errorf(ferric.CodeInternal, "sensor records of %s: %w", m.Name, err)
	}
	return nil
}

// shellQuote makes words for sh.
func shellQuote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
