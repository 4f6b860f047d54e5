//! Bytes of the memory server's records for 1 GiB of RAM: `whole` in 2 MiB frames, `split` if every
//! block is made pages of. `./build.sh bench` shows them.

fn main() {
    let blocks = 512;
    println!("whole {}", memory_server::layout::record_bytes(blocks, 0));
    println!(
        "split {}",
        memory_server::layout::record_bytes(blocks, blocks)
    );
}
