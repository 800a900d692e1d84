package store_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ferric"
	"ferric/flow"
	"ferric/store"
)

// secrets puts something into everything that is encrypted.
func (e *env) secrets(t *testing.T) *ferric.Node {
	t.Helper()
	ctx := t.Context()
	n := fullNode()
	n.ChassisUUID = ""
	must(t, e.CreateNode(ctx, n))
	must(t, e.BeginAgentSession(ctx, n.UUID))
	_, err := e.ChangeAgentSession(ctx, n.UUID, func(a *ferric.AgentSession) error { a.Token = "token-cleartext"; return nil })
	must(t, err)
	must(t, e.SetConfigDrive(ctx, n.UUID, []byte("configdrive-cleartext")))
	op := plan(2)
	op.Params = json.RawMessage(`{"steps": "params-cleartext"}`)
	op.Steps[0].Args = map[string]any{"password": "args-cleartext"}
	op.Steps[1].Data, op.Steps[1].Result = json.RawMessage(`"data-cleartext"`), json.RawMessage(`"result-cleartext"`)
	l := e.lease(t, n.UUID)
	_, err = e.Start(ctx, l, op, nil)
	must(t, err)
	must(t, e.Release(ctx, l))
	must(t, e.PutNetworkBoot(ctx, &ferric.NetworkBoot{NodeUUID: n.UUID, Config: json.RawMessage(`"boot-cleartext"`)}))
	must(t, e.PutBootFile(ctx, ferric.BootFile{NodeUUID: n.UUID, Name: "kernel", Source: json.RawMessage(`"source-cleartext"`)}))
	must(t, e.CreateVolumeTarget(ctx, &ferric.VolumeTarget{NodeUUID: n.UUID, Properties: map[string]any{"auth_password": "volume-cleartext"}}))
	return n
}

func readSecrets(t *testing.T, s *store.Store, uuid string) string {
	t.Helper()
	n, err := s.Node(t.Context(), uuid)
	must(t, err)
	a, err := s.AgentSession(t.Context(), uuid)
	must(t, err)
	c, err := s.ConfigDrive(t.Context(), uuid)
	must(t, err)
	v, err := s.VolumeTargets(t.Context(), ferric.VolumeFilter{NodeUUID: uuid})
	must(t, err)
	op, err := s.Unfinished(t.Context(), uuid, flow.Provision)
	must(t, err)
	boot, err := s.NetworkBoot(t.Context(), uuid)
	must(t, err)
	file, err := s.BootFile(t.Context(), uuid, "kernel")
	must(t, err)
	ledger := string(boot.Config) + " " + string(file.Source) + " " + string(op.Params) + " " + op.Steps[0].Args["password"].(string) + " " + string(op.Steps[1].Data) + " " + string(op.Steps[1].Result)
	return ledger + " " + n.DriverInfo["ipmi_password"].(string) + " " + n.InstanceInfo["admin_pass"].(string) + " " + a.Token + " " + string(c) + " " +
		v[0].Properties["auth_password"].(string)
}

const allSecrets = `"boot-cleartext" "source-cleartext" {"steps": "params-cleartext"} args-cleartext "data-cleartext" "result-cleartext" ` + "hunter2-cleartext instance-cleartext token-cleartext configdrive-cleartext volume-cleartext"

var sealedColumns = map[string]string{"driver_info": "nodes", "instance_info": "nodes", "token": "agent_sessions", "data": "configdrives",
	"properties": "volume_targets", "sealed_params": "operations", "sealed_args": "steps", "sealed_data": "steps", "sealed_result": "steps",
	"config": "network_boots", "source": "boot_files"}

func TestSecretsAreEncrypted(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		n := e.secrets(t)
		equal(t, "secrets", readSecrets(t, e.Store, n.UUID), allSecrets)
		db := e.peek(t)
		ids := map[string]bool{}
		for column, table := range sealedColumns {
			var value []byte
			must(t, db.QueryRow("SELECT "+column+" FROM "+table+" WHERE "+column+" IS NOT NULL").Scan(&value))
			if len(value) < 33 || value[0] != 1 || bytes.Contains(value, []byte("clear")) {
				t.Errorf("%s.%s is %q", table, column, value)
			}
			ids[string(value[:5])] = true
		}
		equal(t, "keys in use", len(ids), 1)
		if e.postgres() {
			return
		}
		must(t, e.Close())
		files, err := filepath.Glob(filepath.Join(e.cfg.DataDir, "ferric.db*"))
		must(t, err)
		for _, f := range files {
			data, err := os.ReadFile(f)
			must(t, err)
			for _, word := range []string{"cleartext", "ipmi_password", "192.0.2.7"} {
				if bytes.Contains(data, []byte(word)) {
					t.Errorf("%s holds %q", filepath.Base(f), word)
				}
			}
			info, err := os.Stat(f)
			must(t, err)
			equal(t, "mode of "+filepath.Base(f), info.Mode().Perm(), os.FileMode(0o600))
		}
	})
}

// A value that was moved or damaged is refused, not shown.
func TestSealedValuesAreBound(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		n := e.secrets(t)
		thief := e.node(t, func(n *ferric.Node) { n.DriverInfo = map[string]any{"a": "b"} })
		db := e.peek(t)
		run := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Exec(query, args...); err != nil {
				t.Fatal(err)
			}
		}
		var good []byte
		must(t, db.QueryRow("SELECT driver_info FROM nodes WHERE uuid = $1", n.UUID).Scan(&good))
		var other []byte
		must(t, db.QueryRow("SELECT instance_info FROM nodes WHERE uuid = $1", n.UUID).Scan(&other))
		flipped := bytes.Clone(good)
		flipped[len(flipped)-1] ^= 1
		for name, tc := range map[string]struct {
			uuid  string
			value []byte
		}{
			"of another row":    {thief.UUID, good},
			"of another column": {n.UUID, other},
			"a flipped bit":     {n.UUID, flipped},
			"cut short":         {n.UUID, good[:20]},
			"only a header":     {n.UUID, good[:5]},
			"nothing like it":   {n.UUID, []byte(`{"ipmi_password": "x"}`)},
			"another version":   {n.UUID, append([]byte{2}, good[1:]...)},
			"an unknown key":    {n.UUID, append([]byte{1, 9, 9, 9, 9}, good[5:]...)},
		} {
			run("UPDATE nodes SET driver_info = $1 WHERE uuid = $2", tc.value, tc.uuid)
			_, err := e.Node(ctx, tc.uuid)
			if !ferric.IsCode(err, ferric.CodeInternal) || !strings.Contains(err.Error(), "driver_info of nodes "+tc.uuid) ||
				strings.Contains(err.Error(), "cleartext") {
				t.Errorf("%s: %v", name, err)
			}
			run("UPDATE nodes SET driver_info = $1 WHERE uuid = $2", good, n.UUID)
		}
		if _, err := e.NodesBrief(ctx, ferric.NodeFilter{IncludeChildren: true}, ferric.Page{}); err != nil {
			t.Errorf("brief list with a damaged value: %v", err)
		}
	})
}

func TestKeyFile(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		path := filepath.Join(e.cfg.DataDir, "secret.key")
		info, err := os.Stat(path)
		must(t, err)
		equal(t, "mode", info.Mode().Perm(), os.FileMode(0o600))
		n := e.secrets(t)
		must(t, e.Close())
		good, err := os.ReadFile(path)
		must(t, err)
		id, key := keyLine(string(good))
		write := func(text string, mode os.FileMode) func() {
			return func() {
				os.Remove(path)
				must(t, os.WriteFile(path, []byte(text), 0o600))
				must(t, os.Chmod(path, mode))
			}
		}
		other := filepath.Join(t.TempDir(), "k")
		_, err = store.AddKey(other)
		must(t, err)
		foreign, err := os.ReadFile(other)
		must(t, err)
		_, foreignKey := keyLine(string(foreign))
		for name, tc := range map[string]struct {
			prepare func()
			want    string
		}{
			"missing":            {func() { os.Remove(path) }, "is missing, and the database needs its key " + id},
			"readable by group":  {write(string(good), 0o640), "has mode 0640, so others may read it: chmod 0600"},
			"readable by others": {write(string(good), 0o604), "has mode 0604"},
			"a folder":           {func() { os.Remove(path); must(t, os.Mkdir(path, 0o700)) }, "is no regular file"},
			"empty":              {write("", 0o600), "it holds no key"},
			"one word":           {write("abc\n", 0o600), "line 1: want an id and a key"},
			"bad id":             {write("\n# x\nxyz "+key+"\n", 0o600), "line 3: the id must be 8 hex digits"},
			"long id":            {write(id+"00 "+key+"\n", 0o600), "line 1: the id must be 8 hex digits"},
			"short key":          {write(id+" "+key[:40]+"\n", 0o600), "line 1: the key must be 32 bytes in base64"},
			"twice":              {write(id+" "+key+"\n"+id+" "+foreignKey+"\n", 0o600), "line 2: the id " + id + " is there twice"},
			"another file":       {write(string(foreign), 0o600), "lacks the key " + id},
			"another key":        {write(id+" "+foreignKey+"\n", 0o600), "is not the one that the database was encrypted with"},
		} {
			tc.prepare()
			s, err := store.Open(t.Context(), e.cfg, quiet())
			if err == nil {
				s.Close()
				t.Errorf("%s: opened", name)
				continue
			}
			if !ferric.IsCode(err, ferric.CodeInvalid) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %q (%s), want %q", name, err, ferric.ErrorCode(err), tc.want)
			}
			if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), foreignKey) || strings.Contains(err.Error(), key[:40]) {
				t.Errorf("%s: the error shows a key: %v", name, err)
			}
			if name == "missing" {
				if _, err := os.Stat(path); err == nil {
					t.Error("a missing file was made anew")
				}
			}
			os.Remove(path)
		}
		write(string(good), 0o400)() // stricter is fine
		s := reopen(t, e.cfg)
		equal(t, "secrets", readSecrets(t, s, n.UUID), allSecrets)
	})
}

// keyLine returns id and key of the first key in a key file's text.
func keyLine(text string) (id, key string) {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] != "#" {
			return fields[0], fields[1]
		}
	}
	return "", ""
}

// Without secrets nothing is lost with the file; but on PostgreSQL another process may be about to write some.
func TestKeyFileLostFromEmptyDatabase(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		e.node(t)
		must(t, e.Close())
		must(t, os.Remove(filepath.Join(e.cfg.DataDir, "secret.key")))
		s, err := store.Open(t.Context(), e.cfg, quiet())
		if e.postgres() {
			wantCode(t, err, ferric.CodeInvalid, "is missing")
			return
		}
		must(t, err)
		e.Store = s
		n := e.secrets(t)
		must(t, s.Close())
		equal(t, "secrets", readSecrets(t, reopen(t, e.cfg), n.UUID), allSecrets)
	})
}

func TestRotate(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		path := filepath.Join(e.cfg.DataDir, "secret.key")
		n := e.secrets(t)
		op := []ferric.RuleOperation{{Op: "fail", Args: map[string]any{"msg": "x"}}}
		rule := &ferric.InspectionRule{Phase: ferric.PhaseMain, Conditions: op, Actions: op}
		must(t, e.CreateInspectionRule(ctx, rule))
		for range 450 { // more than one batch
			e.node(t, func(n *ferric.Node) { n.DriverInfo = map[string]any{"ipmi_password": "x"} })
		}
		first, err := os.ReadFile(path)
		must(t, err)
		oldID, _ := keyLine(string(first))
		must(t, e.Close())

		newID, err := store.AddKey(path)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		equal(t, "mode", info.Mode().Perm(), os.FileMode(0o600))
		both, err := os.ReadFile(path)
		must(t, err)
		if id, _ := keyLine(string(both)); id != newID || newID == oldID || strings.Count(string(both), "\n") != strings.Count(string(first), "\n")+1 {
			t.Fatalf("key file:\n%s", both)
		}

		s := reopen(t, e.cfg) // reads the old, writes the new
		equal(t, "secrets before", readSecrets(t, s, n.UUID), allSecrets)
		before, err := s.Node(ctx, n.UUID)
		must(t, err)
		done, err := s.Rotate(ctx)
		must(t, err)
		equal(t, "values rotated", done, 464)
		done, err = s.Rotate(ctx)
		must(t, err)
		equal(t, "values rotated again", done, 0)
		after, err := s.Node(ctx, n.UUID)
		must(t, err)
		equal(t, "node", after, before) // not even a new version
		kept, err := s.InspectionRule(ctx, rule.UUID)
		must(t, err)
		equal(t, "rule", kept, rule)
		must(t, s.Close())

		// The old key is not needed any more; with it alone the database is not opened.
		must(t, os.WriteFile(path, first, 0o600))
		_, err = store.Open(ctx, e.cfg, quiet())
		wantCode(t, err, ferric.CodeInvalid, "lacks the key "+newID)
		must(t, os.WriteFile(path, []byte(newID+" "+second(string(both))+"\n"), 0o600))
		equal(t, "secrets after", readSecrets(t, reopen(t, e.cfg), n.UUID), allSecrets)
	})
}

func second(text string) string { _, key := keyLine(text); return key }

// Two conductors share a database; one already writes with a key that the other reads only when it meets it.
func TestRunningProcessMeetsNewKey(t *testing.T) {
	e := open(t, "postgres")
	n := e.secrets(t)
	_, err := store.AddKey(filepath.Join(e.cfg.DataDir, "secret.key"))
	must(t, err)
	newer := reopen(t, e.cfg)
	_, err = newer.Rotate(t.Context())
	must(t, err)
	equal(t, "secrets by the older process", readSecrets(t, e.Store, n.UUID), allSecrets)
	// What the older one writes is still written with its key, and readable by both.
	must(t, e.SetConfigDrive(t.Context(), n.UUID, []byte("x")))
	got, err := newer.ConfigDrive(t.Context(), n.UUID)
	must(t, err)
	equal(t, "config drive", string(got), "x")
	done, err := newer.Rotate(t.Context())
	must(t, err)
	equal(t, "left for the next rotation", done, 1)
}

func TestAddKeyRefusesUnfitFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	must(t, os.WriteFile(path, []byte("garbage\n"), 0o600))
	_, err := store.AddKey(path)
	wantCode(t, err, ferric.CodeInvalid, "line 1")
	_, err = store.AddKey(filepath.Join(t.TempDir(), "no", "k"))
	wantCode(t, err, ferric.CodeUnavailable, "write the key file")
}

// TestLedgerOfOldIsEncrypted: what operations wrote before there was encryption can be read, and is encrypted when the database is opened.
func TestLedgerOfOldIsEncrypted(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := t.Context()
		db := e.peek(t)
		var ids []string
		for range 103 { // more than are encrypted at once
			n := e.node(t)
			l := e.lease(t, n.UUID)
			op := plan(2)
			_, err := e.Start(ctx, l, op, nil)
			must(t, err)
			must(t, e.Release(ctx, l))
			ids = append(ids, op.ID)
		}
		run := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Exec(query, args...); err != nil {
				t.Fatal(err)
			}
		}
		run(`UPDATE operations SET params = '{"p":"params-cleartext"}', sealed_params = NULL`)
		run(`UPDATE steps SET args = '{"a":"args-cleartext"}', data = '"data-cleartext"', result = '"result-cleartext"', sealed_args = NULL, sealed_data = NULL, sealed_result = NULL`)
		run("DELETE FROM counters WHERE name = 'ledger_sealed'")
		check := func(s *store.Store, what string) {
			t.Helper()
			for _, id := range ids {
				op, err := s.Operation(ctx, id)
				must(t, err)
				for _, step := range op.Steps {
					got := string(op.Params) + step.Args["a"].(string) + string(step.Data) + string(step.Result)
					equal(t, what, got, `{"p":"params-cleartext"}args-cleartext"data-cleartext""result-cleartext"`)
				}
			}
		}
		check(e.Store, "before")
		must(t, e.Close())
		s := reopen(t, e.cfg)
		check(s, "after")
		for _, c := range []struct{ table, plain string }{{"operations", "params"}, {"steps", "args"}, {"steps", "data"}, {"steps", "result"}} {
			var clear, sealed int
			must(t, db.QueryRow("SELECT COUNT(*) FROM "+c.table+" WHERE "+c.plain+" <> ''").Scan(&clear))
			must(t, db.QueryRow("SELECT COUNT(*) FROM "+c.table+" WHERE sealed_"+c.plain+" IS NOT NULL").Scan(&sealed))
			if clear != 0 || sealed < len(ids) {
				t.Errorf("%s.%s: %d values can be read by anybody, %d are encrypted", c.table, c.plain, clear, sealed)
			}
		}
	})
}
