//! The running program in memory: where it was loaded, where its code is, which build it is.
//!
//! `int dl_iterate_phdr(int (*callback)(struct dl_phdr_info *info, size_t size, void *data),
//! void *data)`, <https://man7.org/linux/man-pages/man3/dl_iterate_phdr.3.html>. The first object
//! it shows is the main program.
//!
//! # Safety
//! Reads the program headers and the segments that they describe, which stay mapped for the life
//! of the process and are not written.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_int, c_void},
    io,
    mem::MaybeUninit,
    ops::Range,
    slice,
};

use super::per_process::PerProcess;

/// What tells one build of a program from another.
pub(crate) type Build = [u8; 32];

/// The main program's image.
pub(crate) struct Image {
    /// What was added to the addresses in the file.
    base: usize,
    /// The segments that hold code.
    text: Vec<Range<usize>>,
    /// Its build id; without one, its file. A hash of the code would tell as much, but each worker
    /// would have to read all of it: a millisecond for some megabytes.
    build: Build,
}

/// What the loader knows of it.
struct Found {
    base: usize,
    text: Vec<Range<usize>>,
    build: Option<Build>,
}

impl Image {
    /// The image of this process's main program.
    pub(crate) fn main() -> io::Result<&'static Self> {
        static MAIN: PerProcess<Image> = PerProcess::new();
        MAIN.get_or_try_init(|| {
            let mut found: Option<Found> = None;
            // SAFETY: `first` matches the callback's signature and takes `data` as the
            // `Option<Found>` that it is, which outlives the call.
            unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut found).cast()) };
            let Some(Found { base, text, build }) = found.filter(|found| !found.text.is_empty()) else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            Ok(Self { base, text, build: build.map_or_else(file, Ok)? })
        })
    }

    pub(crate) fn build(&self) -> Build {
        self.build
    }

    /// How far `address` is from where the image was loaded, if it is the address of code in it.
    pub(crate) fn distance(&self, address: usize) -> Option<u64> {
        self.holds_code(address).then(|| address.wrapping_sub(self.base) as u64)
    }

    /// The address of the code at this distance, if there is code.
    pub(crate) fn address(&self, distance: u64) -> Option<usize> {
        let address = self.base.wrapping_add(usize::try_from(distance).ok()?);
        self.holds_code(address).then_some(address)
    }

    fn holds_code(&self, address: usize) -> bool {
        self.text.iter().any(|text| text.contains(&address))
    }
}

/// The file that holds `address`, as the loader names it.
pub(crate) fn file_of(address: usize) -> Option<String> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let address = std::ptr::with_exposed_provenance::<c_void>(address);
    // SAFETY: the address is compared and not followed; `info` is valid for writing.
    if unsafe { libc::dladdr(address, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: the call succeeded; and all-zero bytes are a valid `Dl_info` too.
    let name = unsafe { info.assume_init() }.dli_fname;
    if name.is_null() {
        return None;
    }
    // SAFETY: on success it is a C string that lives as long as the object is loaded.
    Some(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

extern "C" fn first(info: *mut libc::dl_phdr_info, _size: usize, data: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description for the time of the call.
    let info = unsafe { &*info };
    // SAFETY: the loader gives the address and number of the object's program headers.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let found = describe(info.dlpi_addr as usize, headers);
    // SAFETY: `data` is the `Option<Found>` of `Image::main`, and nobody else uses it meanwhile.
    unsafe { *data.cast::<Option<Found>>() = Some(found) };
    1 // stop: only the main program is wanted
}

fn describe(base: usize, headers: &[libc::Elf64_Phdr]) -> Found {
    let of_type = |kind: u32| headers.iter().filter(move |header| header.p_type == kind);
    let range = |header: &libc::Elf64_Phdr| {
        let start = base.wrapping_add(header.p_vaddr as usize);
        start..start.saturating_add(header.p_memsz as usize)
    };
    let code = of_type(libc::PT_LOAD).filter(|header| header.p_flags & libc::PF_X != 0);
    let text: Vec<_> = code.map(range).collect();
    let build = of_type(libc::PT_NOTE).find_map(|header| build_id(bytes(range(header))));
    Found { base, text, build }
}

/// The bytes of a readable segment of the main program.
fn bytes(segment: Range<usize>) -> &'static [u8] {
    let start = std::ptr::with_exposed_provenance(segment.start);
    // SAFETY: the range comes from a program header of the main image, so it is mapped, readable
    // and no longer than that segment; notes are never written or unmapped.
    unsafe { slice::from_raw_parts(start, segment.len()) }
}

/// The build id in a segment of notes: each is three lengths-or-type words, a name, a description,
/// both padded to four bytes.
fn build_id(mut notes: &[u8]) -> Option<Build> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let word = |at: usize| Some(u32::from_ne_bytes(notes.get(at..at + 4)?.try_into().ok()?));
        let (name_len, len, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let rest = notes.get(12..)?;
        let name = rest.get(..name_len)?;
        let rest = rest.get(name_len.next_multiple_of(4)..)?;
        let description = rest.get(..len)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" && len > 0 {
            let mut id = Build::default();
            let len = len.min(id.len());
            id[..len].copy_from_slice(&description[..len]);
            return Some(id);
        }
        notes = rest.get(len.next_multiple_of(4)..)?;
    }
}

/// The file of the running program. As long as it runs, nobody can write to that file.
fn file() -> io::Result<Build> {
    let file = rustix::fs::stat("/proc/self/exe")?;
    let mut build = Build::default();
    build[..4].copy_from_slice(b"file");
    build[8..16].copy_from_slice(&file.st_dev.to_ne_bytes());
    build[16..24].copy_from_slice(&file.st_ino.to_ne_bytes());
    build[24..].copy_from_slice(&file.st_size.to_ne_bytes());
    Ok(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_the_program_is_inside_and_the_rest_is_not() {
        let image = Image::main().unwrap();
        let inside = describe as *const () as usize;
        assert_eq!(image.address(image.distance(inside).unwrap()), Some(inside));
        assert_eq!(image.distance(&raw const image as usize), None);
        assert_eq!(image.address(u64::MAX / 2), None);
        assert_ne!(image.build(), Build::default());
        assert!(file_of(inside).is_some());
    }

    #[test]
    fn the_build_id_is_found_among_notes_and_damage_is_not_followed() {
        let other = [5, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, b'C', b'O', b'R', b'E', 0, 0, 0, 0, 1, 2, 3, 0];
        let id = [4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, b'G', b'N', b'U', 0, 0xab, 0xcd, 0, 0];
        let notes = [&other[..], &id].concat();
        assert_eq!(build_id(&notes).unwrap()[..3], [0xab, 0xcd, 0]);
        assert_eq!(build_id(&other), None);
        assert_eq!(build_id(&[0xff; 64]), None);
        assert_eq!(build_id(&notes[..30]), None);
    }

    #[test]
    fn a_program_without_a_build_id_is_told_by_its_file() {
        let build = file().unwrap();
        assert_eq!(build, file().unwrap());
        assert_eq!(&build[..4], b"file");
        let size = std::fs::metadata("/proc/self/exe").unwrap().len();
        assert_eq!(build[24..], size.to_ne_bytes());
    }
}
