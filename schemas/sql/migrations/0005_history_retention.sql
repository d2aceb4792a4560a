create function drop_history_partitions(months integer, as_of timestamptz default now()) returns integer
language plpgsql as $$
declare
    oldest text := 'recognition_history_'
        || to_char(date_trunc('month', as_of at time zone 'utc') - make_interval(months => months), 'YYYY_MM');
    name text;
    dropped integer := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('sonica recognition_history', 0));
    for name in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'recognition_history'::regclass and c.relname < oldest
    loop
        execute format('drop table %I', name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
