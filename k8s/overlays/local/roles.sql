CREATE ROLE ai_agents_owner LOGIN PASSWORD 'local-owner';
CREATE ROLE ai_agents LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD 'local-application';
CREATE DATABASE ai_agents OWNER ai_agents_owner ENCODING 'UTF8' TEMPLATE template0;
