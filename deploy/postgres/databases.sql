-- Run once by the PostgreSQL image on an empty volume; `rooms` is made by POSTGRES_DB.
create database moderation owner salon;
