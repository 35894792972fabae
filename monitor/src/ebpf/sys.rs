//! The calls of `bpf(2)` that aya has no way for: reading maps in batches, removing an entry whose
//! type only its reader knows, and what the kernel says of a program's missed runs.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info};

/// Entries asked for at a time. A batch ends at a bucket's border, so this must be more than a
/// bucket ever holds; the buffers stay small.
const BATCH: usize = 256;

/// Reads all entries of a hash map (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6); `visit` sees each entry
/// that stands still during the walk once. 0.2 µs an entry, where one call for each takes ten
/// times that.
///
/// # Errors
/// [`has_no_batches`] on kernels that do not read such maps so; whatever else the kernel says.
pub(super) fn for_each_entry<const K: usize, const V: usize>(
    map: BorrowedFd<'_>,
    mut visit: impl FnMut([u64; K], [u64; V]),
) -> io::Result<()> {
    let mut keys = vec![[0u64; K]; BATCH];
    let mut values = vec![[0u64; V]; BATCH];
    // The kernel's place in the walk: a bucket's number, opaque to us.
    let mut position = 0u32;
    let mut first = true;
    loop {
        // SAFETY: zero is a valid value of every member of this union.
        let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
        attr.batch.in_batch = if first { 0 } else { &raw const position as u64 };
        attr.batch.out_batch = &raw mut position as u64;
        attr.batch.keys = keys.as_mut_ptr() as u64;
        attr.batch.values = values.as_mut_ptr() as u64;
        attr.batch.count = BATCH as u32;
        attr.batch.map_fd = map.as_raw_fd() as u32;
        // SAFETY: the buffers hold `count` keys and values of the map's sizes, which the caller's
        // K and V state, and outlive the call.
        let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
        let end = match result {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error),
        };
        // SAFETY: the kernel has written how many entries there are.
        let count = unsafe { attr.batch.count } as usize;
        for (key, value) in keys.iter().zip(&values).take(count) {
            visit(*key, *value);
        }
        if end {
            return Ok(());
        }
        first = false;
    }
}

/// `ENOTSUPP` of the kernel's `include/linux/errno.h`: user space has no name for it.
const ENOTSUPP: i32 = 524;

/// Whether an error of [`for_each_entry`] says that this kernel cannot read the map in batches: it
/// does not know the call (before Linux 5.6), or not for maps of this type.
pub(super) fn has_no_batches(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | ENOTSUPP))
}

/// Reads the first `count` elements of an array in batches (`BPF_MAP_LOOKUP_BATCH`, of arrays in
/// Linux 5.13), in their order.
///
/// # Errors
/// Whatever the kernel says.
pub(super) fn for_each_element<const V: usize>(
    map: BorrowedFd<'_>,
    count: u32,
    mut visit: impl FnMut([u64; V]),
) -> io::Result<()> {
    let mut values = vec![[0u64; V]; count as usize];
    let mut keys = vec![0u32; count as usize];
    let mut position = 0u32;
    if count == 0 {
        return Ok(());
    }
    // SAFETY: zero is a valid value of every member of this union.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.batch.out_batch = &raw mut position as u64;
    attr.batch.keys = keys.as_mut_ptr() as u64;
    attr.batch.values = values.as_mut_ptr() as u64;
    attr.batch.count = count;
    attr.batch.map_fd = map.as_raw_fd() as u32;
    // SAFETY: the buffers hold `count` keys and values of the map's sizes, which the caller's V
    // states, and outlive the call.
    match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) } {
        Ok(()) => {}
        // That was the last element.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
        Err(error) => return Err(error),
    }
    // SAFETY: the kernel has written how many elements there are.
    let count = unsafe { attr.batch.count } as usize;
    values.into_iter().take(count).for_each(&mut visit);
    Ok(())
}

/// Removes an entry of a hash map. One that is not there is no error.
///
/// # Errors
/// Whatever the kernel says.
pub(super) fn delete<const K: usize>(map: BorrowedFd<'_>, key: &[u64; K]) -> io::Result<()> {
    // SAFETY: zero is a valid value of every member of this union.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd() as u32;
    attr.__bindgen_anon_2.key = key.as_ptr() as u64;
    // SAFETY: the key has the map's size, which the caller's K states, and outlives the call.
    match unsafe { bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attr) } {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// Runs of a program that the kernel skipped because it was already running on that CPU
/// (`bpf_prog_info.recursion_misses`); `None` before Linux 5.12, which does not count them.
///
/// # Errors
/// Whatever the kernel says.
pub(super) fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    // SAFETY: zero is a valid value of every member of both.
    let (mut info, mut attr): (bpf_prog_info, bpf_attr) = unsafe { std::mem::zeroed() };
    attr.info.bpf_fd = program.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_prog_info>() as u32;
    attr.info.info = &raw mut info as u64;
    // SAFETY: `info` is as long as `info_len` says; its pointers are null, so nothing else is
    // written.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)? };
    // SAFETY: the kernel has written how much of the structure it knows.
    let known = unsafe { attr.info.info_len } as usize;
    let end = offset_of!(bpf_prog_info, recursion_misses) + size_of::<u64>();
    Ok((known >= end).then_some(info.recursion_misses))
}

/// # Safety
/// Every pointer in `attr` is valid for what `command` does with it.
unsafe fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<()> {
    // SAFETY: the caller's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attr,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_batches_is_told_from_one_that_fails() {
        let says = |number| has_no_batches(&io::Error::from_raw_os_error(number));
        assert!(says(libc::EINVAL) && says(ENOTSUPP));
        for number in [libc::ENOSPC, libc::EFAULT, libc::EPERM, libc::EINTR] {
            assert!(!says(number), "{number}");
        }
    }
}
