# -*- encoding: utf-8 -*-
# stub: sample-x86_64-linux 1.13.0.rc2 x86_64-linux lib

Gem::Specification.new do |s|
  s.name = "sample-x86_64-linux".freeze
  s.version = "1.13.0.rc2"
  s.platform = "x86_64-linux".freeze

  s.required_rubygems_version = Gem::Requirement.new("> 1.3.1".freeze) if s.respond_to? :required_rubygems_version=
  s.require_paths = ["lib".freeze]
  s.authors = ["Nobody".freeze]
  s.date = "2026-11-26"
  s.description = "a sample".freeze
  s.homepage = "https://example.org".freeze
  s.licenses = ["MIT".freeze]
  s.rubygems_version = "3.3.15".freeze
  s.summary = "a sample".freeze

  s.installed_by_version = "3.3.15" if s.respond_to? :installed_by_version
end
