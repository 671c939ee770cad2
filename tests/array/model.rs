//! Any sequence of operations does to an array what it does to a `Vec`.

use std::fmt::Debug;

use bytemuck::Pod;
use commons::{Array, Plain};

use crate::common::{
    chance::Chance,
    unique,
    workers::{Best, Phase, bounded, join},
};

const LEN: usize = 37;
const STEPS: usize = 600;

/// The same steps on an array and on a `Vec`, through any of several handles.
fn elements<T: Plain + Send + PartialEq + Debug>(seed: u64, handles: &[Array<T>], value: fn(u64) -> T) {
    let mut chance = Chance::new(seed);
    let mut model = handles[0].to_vec();
    for _ in 0..STEPS {
        let array = &handles[chance.below(handles.len())];
        let (at, end) = (chance.below(LEN), chance.below(LEN + 2));
        let new = value(chance.next());
        match chance.below(6) {
            0 => assert_eq!(array.get(end), model.get(end).copied()),
            1 => {
                array.set(at, new);
                model[at] = new;
            }
            2 => assert_eq!(
                array.update(at, |old| std::mem::replace(old, new)),
                std::mem::replace(&mut model[at], new)
            ),
            3 => {
                let mut copy = vec![new; end.saturating_sub(at)];
                match model.get(at..at + copy.len()) {
                    Some(part) => {
                        array.read(at, &mut copy).unwrap();
                        assert_eq!(copy, part);
                    }
                    None => drop(array.read(at, &mut copy).unwrap_err()),
                }
            }
            4 => {
                let source: Vec<T> = (0..end.saturating_sub(at)).map(|_| value(chance.next())).collect();
                match model.get_mut(at..at + source.len()) {
                    Some(part) => {
                        array.write(at, &source).unwrap();
                        part.copy_from_slice(&source);
                    }
                    None => drop(array.write(at, &source).unwrap_err()),
                }
            }
            _ => assert_eq!(array.to_vec(), model),
        }
    }
    assert_eq!(handles[0].to_vec(), model);
}

/// The same steps on claims of an array and on a `Vec`.
fn claims<T: Pod + Send + Sync + PartialEq + Debug>(seed: u64, array: &Array<T>, value: fn(u64) -> T) {
    let mut chance = Chance::new(seed);
    let mut model = array.to_vec();
    for _ in 0..STEPS {
        let (start, end) = (chance.below(LEN + 1), chance.below(LEN + 2));
        let new = value(chance.next());
        let Some(part) = model.get_mut(start..end) else {
            array.claim(start..end).unwrap_err();
            array.share(start..end).unwrap_err();
            continue;
        };
        match chance.below(4) {
            0 => assert_eq!(array.share(start..end).unwrap()[..], *part),
            1 => {
                array.claim(start..end).unwrap().fill(new);
                part.fill(new);
            }
            2 => {
                array.try_claim(start..end).unwrap().reverse();
                part.reverse();
            }
            _ => {
                array.lock().unwrap().rotate_left(end % LEN);
                model.rotate_left(end % LEN);
            }
        }
    }
    assert_eq!(array.to_vec(), model);
}

/// An array that went through the steps.
fn same_as_a_vec<T: Plain + Send + PartialEq + Debug>(value: fn(u64) -> T) -> Array<T> {
    let name = unique("model");
    let first: Vec<T> = (0..LEN as u64).map(value).collect();
    let array = Array::create_from(&name, &first).unwrap();
    let handles = [array.clone(), Array::open(&name).unwrap(), array.clone()];
    elements(1, &handles, value);
    array
}

fn best(bits: u64) -> Best {
    let phase = [Phase::Idle, Phase::Busy, Phase::Done][bits as usize % 3];
    Best { found: bits.is_multiple_of(2), score: bits as f64, phase, letter: char::from(bits as u8) }
}

#[test]
fn elements_do_as_a_vec_does() {
    same_as_a_vec(|bits| bits as u8);
    same_as_a_vec(|bits| [bits as u8; 3]);
    same_as_a_vec(|bits| bits);
    same_as_a_vec(u128::from);
    same_as_a_vec(|bits| [bits; 20]);
    same_as_a_vec(|bits| char::from(bits as u8));
    same_as_a_vec(best);
    same_as_a_vec(|_| ());
}

#[test]
fn claims_do_as_slices_of_a_vec_do() {
    fn check<T: Pod + Send + Sync + PartialEq + Debug>(value: fn(u64) -> T) {
        let array = same_as_a_vec(value);
        claims(2, &array, value);
    }
    check(|bits| bits as u8);
    check(|bits| [bits as u16; 3]);
    check(u128::from);
    check(|bits| f64::from(bits as u32));
    check(|_| ());
}

#[test]
fn another_process_goes_on_where_this_one_stops() {
    let _watch = bounded("two processes and a model");
    let array = same_as_a_vec(best);
    for seed in 3..6 {
        join(commons::spawn((array.clone(), seed), |(array, seed): (Array<Best>, u64)| {
            elements(seed, &[array.clone(), array], best);
        }));
        elements(seed, std::slice::from_ref(&array), best);
    }
}
