// Command init is the whole initramfs of the boot tests: it says on the console that the kernel started it, with which
// command line, and switches the machine off.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	os.Mkdir("/proc", 0o755)
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		fmt.Println("FERRIC-INIT mount failed:", err)
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	fmt.Printf("\nFERRIC-INIT started, error %v, cmdline: %s\n", err, cmdline)
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
