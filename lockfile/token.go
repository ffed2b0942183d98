package lockfile

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// TokenSize is the length of the tokens that strata writes, in bytes; of a
// longer lock file no more is looked at.
const TokenSize = 64

// Token is the content of a lock file: who changed last what it protects. Tokens
// are opaque and compared with ==. The zero Token is that of a file nobody wrote.
type Token struct {
	data [TokenSize]byte
	size uint8
}

// IsZero reports whether the token is that of an empty lock file.
func (t Token) IsZero() bool { return t == Token{} }

// String returns the token in hex, for logs.
func (t Token) String() string { return hex.EncodeToString(t.data[:t.size]) }

// newToken makes a token that nobody made before (on-disk format, 3.5): the
// random part alone sees to that, the rest tells a person who wrote it and when.
func newToken(now time.Time, count uint64, pid int) Token {
	t := Token{size: TokenSize}
	binary.LittleEndian.PutUint64(t.data[0:], uint64(now.UnixNano()))
	binary.LittleEndian.PutUint64(t.data[8:], count)
	binary.LittleEndian.PutUint32(t.data[16:], uint32(pid))
	_, _ = rand.Read(t.data[20:]) // never fails: the runtime ends the program instead
	return t
}

// writer returns the process that the token names, or 0 if its form is not the
// one of newToken: older engines wrote 64 hex digits.
func (t Token) writer() int {
	const never = 1 << 22 // PID_MAX_LIMIT: hex digits taken as a number lie far above
	pid := binary.LittleEndian.Uint32(t.data[16:])
	if t.size != TokenSize || pid > never {
		return 0
	}
	return int(pid)
}

// readToken reads up to TokenSize bytes from the start of f.
func readToken(f io.ReaderAt) (Token, error) {
	var t Token
	n, err := f.ReadAt(t.data[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return Token{}, err
	}
	t.size = uint8(n)
	return t, nil
}

// Token returns the last writer's token as it is now. While the lock is held,
// it changes only by Touch.
func (h *Held) Token() (Token, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return Token{}, h.releasedError()
	}
	t, err := readToken(h.file)
	if err != nil {
		return Token{}, fmt.Errorf("read lock file: %w", err)
	}
	return t, nil
}

// Touch writes a fresh token, in one write and without a flush, and returns it.
// It tells all who keep a copy of what the lock protects to read it again; call
// it before the change, so that a crash in between costs a reload and nothing
// else. Only an exclusive Held can do it.
func (h *Held) Touch() (Token, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return Token{}, h.releasedError()
	}
	if h.mode != exclusive {
		return Token{}, h.sharedError()
	}
	t := newToken(time.Now(), h.lock.writes.Add(1), os.Getpid())
	if _, err := h.file.WriteAt(t.data[:], 0); err != nil {
		return Token{}, fmt.Errorf("write lock file: %w", err)
	}
	return t, nil
}
