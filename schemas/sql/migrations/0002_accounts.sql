-- Users, their API keys and what they recognised. What each is for: ../schema.sql.

create table users (
    id bigint generated always as identity primary key,
    name text not null unique check (octet_length(name) between 1 and 1024),
    role text not null default 'free' check (role in ('free', 'premium', 'admin')),
    preferences jsonb not null default '{}' check (jsonb_typeof(preferences) = 'object'),
    history_cleared_at timestamptz,
    created_at timestamptz not null default now()
);

create table api_keys (
    id bigint generated always as identity primary key,
    user_id bigint not null references users (id) on delete cascade,
    prefix text not null unique,
    secret_sha256 bytea not null check (octet_length(secret_sha256) = 32),
    label text not null default '',
    scopes text[] not null check (
        cardinality(scopes) > 0 and scopes <@ array['recognize', 'songs:read', 'songs:write', 'admin']
    ),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    last_used_at timestamptz
);
create index api_keys_user on api_keys (user_id);

create table recognition_history (
    user_id bigint not null references users (id) on delete cascade,
    recognized_at timestamptz not null,
    query_key bytea not null check (octet_length(query_key) = 32),
    song_id bigint not null,
    score double precision not null,
    offset_ms integer not null,
    primary key (user_id, recognized_at, query_key)
) partition by range (recognized_at);

create function make_history_partitions(as_of timestamptz default now()) returns void language plpgsql as $$
declare
    month timestamp;
    name text;
begin
    perform pg_advisory_xact_lock(hashtextextended('sonica recognition_history', 0));
    for ahead in -1..2 loop
        month := date_trunc('month', as_of at time zone 'utc') + make_interval(months => ahead);
        name := 'recognition_history_' || to_char(month, 'YYYY_MM');
        if to_regclass(name) is null then
            execute format('create table %I partition of recognition_history for values from (%L) to (%L)',
                           name, month at time zone 'utc', (month + interval '1 month') at time zone 'utc');
        end if;
    end loop;
end $$;
select make_history_partitions();
