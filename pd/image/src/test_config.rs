//! A kernel configuration for tests that have no SDK: qemu_virt_aarch64 of Microkit 2.3.0.

use microkit_tool::sel4::{AddressSpaceConstants, Arch, Config, ObjectSizes, PlatformConfigRegion};

/// What `Sdk::open` makes of that board's debug configuration.
pub(crate) fn qemu_virt() -> Config {
    let region = |start, end| PlatformConfigRegion { start, end };
    Config {
        arch: Arch::Aarch64,
        word_size: 64,
        minimum_page_size: 0x1000,
        paddr_user_device_top: 1 << 40,
        kernel_frame_size: 0x1000,
        init_cnode_bits: 17,
        cap_address_bits: 64,
        fan_out_limit: 256,
        max_num_bootinfo_untypeds: 230,
        iommu: false,
        hypervisor: true,
        benchmark: false,
        num_cores: 1,
        num_domains: 1,
        num_domain_schedules: 1,
        fpu: true,
        arm_pa_size_bits: Some(40),
        arm_smc: Some(false),
        riscv_pt_levels: None,
        invocations_labels: serde_json::Value::Null,
        object_sizes: ObjectSizes {
            tcb: 12,
            endpoint: 4,
            notification: 6,
            reply: 5,
            vspace: 13,
            page_table: 12,
            io_page_table: None,
            huge_page: 30,
            large_page: 21,
            small_page: 12,
            asid_pool: 12,
            vcpu: Some(12),
        },
        address_space_constants: AddressSpaceConstants {
            page_table_index_bits: 9,
            vspace_index_bits: Some(10),
            io_page_table_index_bits: None,
            vspace_user_top: 0xff_ffff_ffff,
        },
        device_regions: Some(vec![region(0, 0x6000_0000), region(0xc000_0000, 1 << 40)]),
        normal_regions: Some(vec![region(0x6000_0000, 0xc000_0000)]),
    }
}
