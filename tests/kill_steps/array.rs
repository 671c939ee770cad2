//! Elements that are old or new, and ranges that can be claimed at once.

use commons::Array;

use super::{
    harness::{Died, kill_after_every_instruction},
    ptrace::Marker,
    value::{Wide, died, next},
};

const LEN: usize = 4;

/// The element that is updated.
const AT: usize = 2;

#[test]
fn an_element_is_old_or_new() {
    let array = Array::from_slice(&[[1; 8]; LEN]).unwrap();
    let worker = |array: Array<Wide>| {
        let marker = Marker::when_traced();
        array.update(AT, next);
        marker.hit();
        array.update(AT, next);
        marker.hit();
    };
    let mut known = 1;
    kill_after_every_instruction("Array::update", &array.clone(), worker, &mut || {
        let claim = array.try_claim(..).expect("the dead worker holds the lock");
        let found = claim[AT];
        for (index, element) in claim.iter().enumerate().filter(|&(index, _)| index != AT) {
            assert_eq!(*element, [1; 8], "element {index}");
        }
        drop(claim);
        let died = died(found, known + 1);
        array.update(AT, next);
        known = found[0] + 1;
        assert_eq!(array.get(AT), Some([known; 8]));
        died
    });
}

/// The elements that are claimed.
const RANGE: std::ops::Range<usize> = 1..3;

#[test]
fn a_claim_ends_with_its_owner() {
    let array = Array::from_slice(&[[1; 8]; LEN]).unwrap();
    let worker = |array: Array<Wide>| {
        let marker = Marker::when_traced();
        array.claim(RANGE).unwrap().iter_mut().for_each(next);
        marker.hit();
        array.claim(RANGE).unwrap().iter_mut().for_each(next);
        marker.hit();
    };
    let mut known = 1;
    kill_after_every_instruction("Array::claim", &array.clone(), worker, &mut || {
        let mut claim = array.try_claim(RANGE).expect("the dead worker has its claim");
        let all_are = |value| claim.iter().flatten().all(|&word| word == value);
        let died = match known + 1 {
            old if all_are(old) => Died::Before,
            old if all_are(old + 1) => Died::After,
            old => {
                let mut words = claim.iter().flatten();
                assert!(words.all(|&word| word == old || word == old + 1), "never written: {:?}", &*claim);
                Died::Inside
            }
        };
        known += 3;
        claim.fill([known; 8]);
        drop(claim);
        let elements = array.try_share(..).expect("no claim is left").to_vec();
        assert_eq!(elements, [[1; 8], [known; 8], [known; 8], [1; 8]]);
        died
    });
}
