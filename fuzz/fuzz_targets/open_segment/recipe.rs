//! Input bytes become a file, and changes to it while it is in use.
//!
//! The first byte chooses a valid file to start from, or (from `RAW` on) that the rest of the input is
//! the whole file. The second byte is flags. Then come changes, each with an action, a place and what
//! the action needs; a recipe that breaks off is carried out as far as it goes.

use super::stock::{Stock, tid};

const RAW: u8 = 0xf0;

/// Flags: start from the file whose locks are held; say `persist` in the header; give others time;
/// open the file as every kind of object; list all names.
const HELD: u8 = 1;
const PERSIST: u8 = 2;
const PATIENT: u8 = 4;
const EVERY_KIND: u8 = 8;
const LIST: u8 = 16;

pub struct Recipe {
    pub file: Vec<u8>,
    /// Bytes of the file; what `file` does not have is a hole.
    pub len: u64,
    /// What is overwritten while the file is in use.
    pub live: Vec<(usize, Vec<u8>)>,
    pub patient: bool,
    /// As which kind it is opened; `None`: as every kind.
    pub kind: Option<usize>,
    pub list: bool,
}

impl Recipe {
    pub fn read(data: &[u8], stock: &Stock) -> Self {
        let mut input = Input(data);
        let (choice, flags) = (input.byte().unwrap_or(0), input.byte().unwrap_or(0));
        let (patient, list) = (flags & PATIENT != 0, flags & LIST != 0);
        if choice >= RAW {
            let (file, len) = (input.0.to_vec(), input.0.len() as u64);
            return Self { file, len, live: Vec::new(), patient, kind: None, list };
        }
        let number = usize::from(choice) % stock.templates.len();
        let (template, kind) = (&stock.templates[number], (flags & EVERY_KIND == 0).then_some(number));
        let file = if flags & HELD != 0 { &template.held } else { &template.idle };
        let mut recipe =
            Self { file: file.clone(), len: file.len() as u64, live: Vec::new(), patient, kind, list };
        if flags & PERSIST != 0 {
            recipe.change(16, &[1], false);
        }
        let mut live = false;
        while recipe.step(&mut input, &mut live, stock).is_some() {}
        recipe
    }

    /// One change; `None` when the input is at its end.
    fn step(&mut self, input: &mut Input<'_>, live: &mut bool, stock: &Stock) -> Option<()> {
        let action = input.byte()?;
        let at = self.place(action >> 6, usize::from(input.short()?));
        match action & 0x3f {
            n @ 0..=31 => {
                let bytes = input.take(usize::from(n) + 1)?;
                self.change(at, bytes, *live);
            }
            32 => {
                let word = special(input.byte()?, stock) as u32;
                self.change(at, &word.to_ne_bytes(), *live);
            }
            33 => self.change(at, &special(input.byte()?, stock).to_ne_bytes(), *live),
            34 => {
                let old = self.file.get(at).copied().unwrap_or(0);
                self.change(at, &[old.wrapping_add(input.byte()?)], *live);
            }
            35 => self.len = u64::from(input.short()?) * 16 + at as u64 % 16,
            36 => self.len = 1 << (input.byte()? % 47),
            37 => *live = true,
            38 => {
                let other = &stock.templates[usize::from(input.byte()?) % stock.templates.len()];
                let bytes: Vec<u8> = other.held.iter().skip(at).take(input.byte()?.into()).copied().collect();
                self.change(at, &bytes, *live);
            }
            39 => {
                let (byte, count) = (input.byte()?, input.short()?);
                self.change(at, &vec![byte; usize::from(count % 4096)], *live);
            }
            _ => {
                let bytes = input.take(8)?;
                self.change(at, bytes, *live);
            }
        }
        Some(())
    }

    /// Header, schema, payload, or anywhere.
    fn place(&self, region: u8, at: usize) -> usize {
        match region {
            0 => at % 256,
            1 => 6400 + at % 1024,
            2 => u64::from_ne_bytes(self.file[88..96].try_into().unwrap()).min(1 << 20) as usize + at,
            _ => at,
        }
    }

    fn change(&mut self, at: usize, bytes: &[u8], live: bool) {
        if live {
            self.live.push((at, bytes.to_vec()));
            return;
        }
        let room = self.file.len().saturating_sub(at).min(bytes.len());
        if room != 0 {
            self.file[at..at + room].copy_from_slice(&bytes[..room]);
        }
    }
}

/// Numbers that mean something to locks, counters and lengths.
fn special(which: u8, stock: &Stock) -> u64 {
    const WAITERS: u32 = 0x8000_0000;
    const OWNER_DIED: u32 = 0x4000_0000;
    let threads = [tid(), stock.keeper, stock.ended, 1, std::process::id(), 0, 0x3fff_ffff, 0x1fff_ffff];
    let thread = threads[usize::from(which & 7)];
    match which >> 3 {
        0 => thread.into(),
        1 => (thread | WAITERS).into(),
        2 => (thread | OWNER_DIED).into(),
        3 => (thread | WAITERS | OWNER_DIED).into(),
        4..=11 => u64::MAX >> (which & 63),
        12..=19 => 1 << (which & 63),
        20..=27 => (u64::MAX << (which & 63)).wrapping_sub(1),
        28..=29 => u64::from(which) - 224,
        _ => u64::MAX,
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }
}
