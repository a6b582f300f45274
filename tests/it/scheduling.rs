//! The examples for schedulers in `pipelines/`: each is changed as its first lines say and then run, or validated by the scheduler's own tools.

mod airflow;
mod files;
