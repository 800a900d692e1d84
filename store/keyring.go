package store

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ferric"
)

const (
	sealVersion = 1
	keyIDSize   = 4
	keySize     = 32
	sealHeader  = 1 + keyIDSize

	keyFileHeader = "# Encryption keys of Ferric's database: the first one is used for new values, all of them for reading.\n" +
		"# Without this file driver_info, instance_info and config drives are lost. Keep a copy apart from the backups.\n"
)

type keyID [keyIDSize]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// keyring holds the keys of a key file.
type keyring struct {
	path  string
	first keyID

	mu   sync.RWMutex
	keys map[keyID]cipher.AEAD
}

// readKeys reads a key file. A missing one gives an error that is fs.ErrNotExist.
func readKeys(path string) (*keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "read the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, ferric.Errorf(ferric.CodeInvalid, "the key file %s is no regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, ferric.Errorf(ferric.CodeInvalid, "the key file %s has mode %04o, so others may read it: chmod 0600 it",
			path, mode)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "read the key file: %w", err)
	}
	k := &keyring{path: path, keys: map[keyID]cipher.AEAD{}}
	if err := k.parse(data); err != nil {
		return nil, ferric.Errorf(ferric.CodeInvalid, "the key file %s is damaged: %w", path, err)
	}
	return k, nil
}

// parse reads the file's text. Its errors name the line, never what stands there.
func (k *keyring) parse(data []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return fmt.Errorf("line %d: want an id and a key", n)
		}
		var id keyID
		if b, err := hex.DecodeString(fields[0]); err != nil || copy(id[:], b) != keyIDSize || len(b) != keyIDSize {
			return fmt.Errorf("line %d: the id must be %d hex digits", n, 2*keyIDSize)
		}
		key, err := base64.StdEncoding.DecodeString(fields[1])
		if err != nil || len(key) != keySize {
			return fmt.Errorf("line %d: the key must be %d bytes in base64", n, keySize)
		}
		if _, ok := k.keys[id]; ok {
			return fmt.Errorf("line %d: the id %s is there twice", n, id)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return err
		}
		if len(k.keys) == 0 {
			k.first = id
		}
		k.keys[id] = aead
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if len(k.keys) == 0 {
		return errors.New("it holds no key")
	}
	return nil
}

// AddKey puts a new key first into the key file, making the file if it does not exist, and returns the key's id. A
// running process goes on with the key that it has. See "Encryption at rest" for what comes next.
func AddKey(path string) (id string, err error) {
	old, err := os.ReadFile(path)
	if err == nil {
		_, err = readKeys(path)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return "", err
	}
	var raw [keyIDSize + keySize]byte
	rand.Read(raw[:]) // never fails
	id = keyID(raw[:keyIDSize]).String()
	rest := bytes.TrimPrefix(old, []byte(keyFileHeader))
	text := keyFileHeader + id + " " + base64.StdEncoding.EncodeToString(raw[keyIDSize:]) + "\n" + string(rest)
	if err := replaceFile(path, []byte(text)); err != nil {
		return "", ferric.Errorf(ferric.CodeUnavailable, "write the key file: %w", err)
	}
	return id, nil
}

// replaceFile writes a file with mode 0600 so that a crash leaves the old or the new one, on disk.
func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".ferric-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func binding(table, column, row string) []byte {
	return []byte(table + "\x00" + column + "\x00" + row)
}

func (k *keyring) seal(table, column, row string, plain []byte) ([]byte, error) {
	k.mu.RLock()
	aead := k.keys[k.first]
	k.mu.RUnlock()
	out := make([]byte, 0, sealHeader+aead.Overhead()+len(plain))
	out = append(out, sealVersion)
	out = append(out, k.first[:]...)
	return aead.Seal(out, nil, plain, binding(table, column, row)), nil
}

func sealedWith(value []byte) (keyID, bool) {
	if len(value) < sealHeader || value[0] != sealVersion {
		return keyID{}, false
	}
	return keyID(value[1:sealHeader]), true
}

// open decrypts. CodeInternal: the value is damaged or was moved from another row, or its key is not there.
func (k *keyring) open(table, column, row string, value []byte) ([]byte, error) {
	id, ok := sealedWith(value)
	if !ok {
		return nil, ferric.Errorf(ferric.CodeInternal, "%s of %s %s is no sealed value", column, table, row)
	}
	aead, err := k.get(id)
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal, "decrypt %s of %s %s: %w", column, table, row, err)
	}
	plain, err := aead.Open(nil, nil, value[sealHeader:], binding(table, column, row))
	if err != nil {
		return nil, ferric.Errorf(ferric.CodeInternal,
			"decrypt %s of %s %s with key %s: the value or the key is not the right one", column, table, row, id)
	}
	return plain, nil
}

// get finds a key; for an unknown one the file is read again, as another process may have begun to use a new key.
func (k *keyring) get(id keyID) (cipher.AEAD, error) {
	k.mu.RLock()
	aead, ok := k.keys[id]
	k.mu.RUnlock()
	if ok {
		return aead, nil
	}
	fresh, err := readKeys(k.path)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, aead := range fresh.keys {
		if _, ok := k.keys[id]; !ok {
			k.keys[id] = aead
		}
	}
	if aead, ok := k.keys[id]; ok {
		return aead, nil
	}
	return nil, fmt.Errorf("the key file %s has no key %s", k.path, id)
}

func (k *keyring) has(id keyID) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, ok := k.keys[id]
	return ok
}
