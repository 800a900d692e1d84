package ramdisk

// wanted lists the modules of the deploy ramdisk by purpose. What they need is added to them; what a kernel does not
// have, or has built in, is passed over.
func wanted() []string {
	groups := [][]string{
		{ // virtual machines
			"virtio_pci", "virtio_mmio", "virtio_net", "virtio_blk", "virtio_scsi", "virtio_rng", "virtio_console", "vmxnet3", "vmw_pvscsi",
			"hv_vmbus", "hv_netvsc", "hv_storvsc", "hv_utils", "xen_netfront", "xen_blkfront",
		},
		{ // network: what servers come with
			"e1000", "e1000e", "igb", "igbvf", "igc", "ixgbe", "ixgbevf", "i40e", "iavf", "ice", "fm10k", "mlx4_core", "mlx4_en", "mlx5_core",
			"bnxt_en", "tg3", "bnx2", "bnx2x", "r8169", "8139cp", "8139too", "cxgb4", "qede", "qlcnic", "sfc", "be2net", "enic",
			"atlantic", "ena", "alx", "atl1c", "sky2", "forcedeth", "nfp", "ionic", "netxen_nic", "pcnet32", "ne2k_pci", "realtek",
			"broadcom", "marvell", "af_packet", "8021q", "bonding",
		},
		{ // storage controllers and disks
			"ahci", "ata_piix", "ata_generic", "libahci", "sata_sil", "sata_sil24", "sata_mv", "sata_nv", "sata_via", "pata_amd", "nvme", "vmd",
			"sd_mod", "sr_mod", "sg", "mpt3sas", "mptsas", "mptspi", "mptscsih", "megaraid_sas", "megaraid_mbox", "smartpqi", "hpsa", "aacraid",
			"arcmsr", "isci", "mvsas", "pm80xx", "3w_9xxx", "3w_sas", "sym53c8xx", "lpfc", "qla2xxx", "mmc_block", "sdhci_pci", "sdhci_acpi",
			"scsi_dh_alua", "scsi_dh_rdac",
		},
		{ // USB sticks and virtual media of BMCs, and their NICs (host interface)
			"xhci_pci", "ehci_pci", "uhci_hcd", "ohci_pci", "usb_storage", "uas", "cdc_ether", "cdc_eem", "cdc_ncm", "rndis_host",
		},
		{ // software RAID
			"md_mod", "linear", "raid0", "raid1", "raid10", "raid456",
		},
		{ // management
			"ipmi_si", "ipmi_devintf", "ipmi_ssif", "ipmi_msghandler",
		},
		{ // file systems of config drives, virtual media and EFI system partitions
			"isofs", "udf", "vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8", "efivarfs", "efi_pstore", "dmi_sysfs",
		},
		{ // checksums that drivers ask for by name
			"crc32c_generic", "crc32c_intel", "libcrc32c", "crct10dif_generic",
		},
	}
	var out []string
	for _, g := range groups {
		out = append(out, g...)
	}
	return out
}

// wantedForRescue lists what people need beside it to get at an installed system.
func wantedForRescue() []string {
	return []string{"ext4", "xfs", "btrfs", "dm_mod", "dm_crypt", "dm_mirror", "dm_snapshot", "loop"}
}
