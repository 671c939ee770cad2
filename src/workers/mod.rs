//! Workers: processes and threads that run many tasks.
//!
//! | file | the one thing |
//! |---|---|
//! | `error` | why a task has no result |
//! | `program` | functions that travel, with the types that they need |
//! | `order` | what goes to workers and comes back, as bytes |
//! | `control` | the page of words that says what a dead worker was at |
//! | `nesting` | what a task knows about being one |
//! | `worker` | what a worker does |
//! | `call` | tasks that belong together, and what becomes of them |
//! | `books` | which orders wait, which are on their way, and what a death does to them |
//! | `chunk` | how many tasks go together, and how far ahead |
//! | `habits` | how a pool's workers live |
//! | `crew` | the workers of a pool, and what they are to do |
//! | `hiring` | starting them |
//! | `listening` | the pool's thread: answers, deaths and clocks |
//! | `ending` | how a pool ends |
//! | `interrupt` | Ctrl-C while workers work |
//! | `states` | what was made for tasks in this process |
//! | `executor` | tasks in this process |
//! | `work` | what items are as tasks: arguments of one function, or functions with theirs |
//! | `run` | a call that goes on: from the input to the results |
//! | `stream` | results one by one |
//! | `gather` | all results together |
//! | `task` | a single task, as a future too |
//! | `pool` | the front door |

mod error;
mod program;
mod order;
mod control;
mod nesting;
mod worker;
mod call;
mod books;
mod chunk;
mod habits;
mod crew;
mod hiring;
mod listening;
mod ending;
mod interrupt;
mod states;
mod executor;
mod work;
mod run;
mod stream;
mod gather;
mod task;
mod pool;

pub(crate) use self::{
    call::Terms,
    chunk::{Chunk, Resized},
    crew::Crew,
    executor::{Hall, Sequential, Threads},
    gather::{collect, outcomes},
    habits::Habits,
    interrupt::{Guard, guard},
    nesting::share,
    program::{Combine, Folding, Keep, Made, Make, Plain, Trying, TryingMade, TryingWith, With},
    run::{Manner, Place, Run, Setup},
    stream::Source,
    work::{Recipe, Work, Works},
};
pub use self::{
    error::{TaskError, TaskErrorKind},
    executor::Executor,
    pool::{Pool, PoolBuilder},
    stream::{MapIter, MapUnordered},
    task::{AsCompleted, Task, as_completed, wait_any},
};
