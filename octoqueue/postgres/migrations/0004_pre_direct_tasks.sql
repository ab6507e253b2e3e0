-- Tasks that name their arm are done by one message on its queue, without a plan and a workflow.
alter table tasks
  -- who is to do it; null leaves that to a plan. For those that are not, queued_at is when their
  -- message was last sent or looked for.
  add column asked_arm text;
