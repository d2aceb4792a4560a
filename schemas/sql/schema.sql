-- The whole present schema of the catalogue (PostgreSQL 14 or newer, no extension).
-- It is read, not run: databases are made by the migrations beside it, and a test holds that both agree.

-- Which migrations this database has; written by backend/catalogue/migrations.py.
create table schema_migrations (
    name text primary key,
    applied_at timestamptz not null default now()
);

-- Hands out song ids and holds that nothing is in the catalogue twice. A unique index of a partitioned table must
-- contain the partition key, so uniqueness over the whole catalogue needs a table of its own: narrow (about 150 bytes
-- a song) and unpartitioned. All else that belongs to a song goes when its row here goes.
create table song_identities (
    song_id bigint generated always as identity primary key,
    external_id text not null unique,
    content_sha256 bytea not null unique check (octet_length(content_sha256) = 32),
    sound_sha256 bytea not null unique check (octet_length(sound_sha256) = 32)
);

-- Hash partitions keep each index and each vacuum an eighth of the whole at tens of millions of songs, whatever the
-- order in which songs come; a look-up by id touches one partition, any other look-up eight small index scans.
create table songs (
    id bigint primary key references song_identities (song_id) on delete cascade,
    external_id text not null,
    title text not null,
    artist text,
    album text,
    isrc text,
    language text,
    genre text,
    duration_ms integer not null check (duration_ms >= 0),
    audio_url text,
    popularity_score double precision not null default 0,
    release_date date,
    content_sha256 bytea not null,
    sound_sha256 bytea not null,
    fingerprint_version smallint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
) partition by hash (id);

-- The id in an index makes pages ordered by id come straight out of it.
create index songs_isrc on songs (isrc, id);
create index songs_artist on songs (artist, id);
create index songs_album on songs (album, id);
create index songs_language on songs (language, id);
create index songs_genre on songs (genre, id);
create index songs_popular on songs (language, genre, popularity_score desc);
create index songs_popularity on songs (popularity_score desc, id);
-- For `lower(title) like 'prefix%'` under any collation.
create index songs_title on songs (lower(title) text_pattern_ops);

-- The body is the wire format, application/vnd.sonica.fingerprint. Its signed bytes are noise to a compressor, so it
-- is stored as it is. The version is beside it so that others can be found without reading bodies.
create table fingerprints (
    song_id bigint primary key references song_identities (song_id) on delete cascade,
    fingerprint_version smallint not null,
    body bytea not null
) partition by hash (song_id);
alter table fingerprints alter column body set storage external;

do $$
begin
    for remainder in 0..7 loop
        execute format('create table songs_%1$s partition of songs '
                       'for values with (modulus 8, remainder %1$s)', remainder);
        execute format('create table fingerprints_%1$s partition of fingerprints '
                       'for values with (modulus 8, remainder %1$s)', remainder);
    end loop;
end $$;

-- What an index catches up from: the last change of each song, also of those that are gone (hence no foreign key).
-- One row a song, so that the log stays as long as songs and deletions are many. Revisions become visible in their
-- own order because writers take turns: see take_turn in backend/catalogue/queries.sql.
create sequence catalogue_revisions;
create table catalogue_changes (
    song_id bigint primary key,
    revision bigint not null default nextval('catalogue_revisions') unique
);
alter sequence catalogue_revisions owned by catalogue_changes.revision;

-- Tells this catalogue from every other: an index that was made from another one must not be believed.
create table catalogue_name (
    name uuid not null default gen_random_uuid(),
    only_row boolean primary key default true check (only_row)
);

-- Files that `sonica ingest` could not take, for `--retry-failed`.
create table ingest_failures (
    uri text primary key,
    code text not null,
    detail text not null,
    size_bytes bigint,
    modified_at timestamptz,
    failed_at timestamptz not null default now()
);

-- Objects whose bytes the catalogue holds, so that a long ingest that is started again does not read them again. Many
-- may be of one song: its copies, and what sounds the same.
create table ingested_objects (
    uri text primary key,
    etag text not null,
    song_id bigint not null references song_identities (song_id) on delete cascade
);
create index ingested_objects_song on ingested_objects (song_id);

-- Who may ask: made by `sonica users add`, or by the first token of theirs that is in order, which names them
-- `issuer#subject`. Preferences are the user's own; `{"history": false}` keeps their recognitions from being recorded.
create table users (
    id bigint generated always as identity primary key,
    name text not null unique check (octet_length(name) between 1 and 1024),
    role text not null default 'free' check (role in ('free', 'premium', 'admin')),
    preferences jsonb not null default '{}' check (jsonb_typeof(preferences) = 'object'),
    -- Recognitions up to then are not recorded any more, though a server may still have them in its queue.
    history_cleared_at timestamptz,
    created_at timestamptz not null default now()
);

-- A key is `sk_PREFIX_SECRET`: found by its prefix, proved by its secret, which has 256 random bits, so that a fast
-- hash of it cannot be turned back. A key that is rotated or revoked expires.
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

-- The songs that users recognised, a partition a month. A song may be gone since, hence no foreign key to it.
create table recognition_history (
    user_id bigint not null references users (id) on delete cascade,
    recognized_at timestamptz not null,
    query_key bytea not null check (octet_length(query_key) = 32),
    song_id bigint not null,
    score double precision not null,
    offset_ms integer not null,
    primary key (user_id, recognized_at, query_key) -- in the order in which a user looks; none is there twice
) partition by range (recognized_at);

-- Makes the partitions from last month's, for clocks that are late, to that of the month after next. Every server
-- calls it when it starts and once a day.
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

-- Drops the partitions of all months before the last so many whole ones; returns how many. Called when the former is.
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
